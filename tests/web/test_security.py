"""The web config: what is read from it, who is let in, and what a bad one says."""

import asyncio
import base64
import ssl
import subprocess
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from asyncnic.errors import SettingsError
from asyncnic.web.security import (
    MOST_REMEMBERED,
    MOST_WAITING,
    BasicAuth,
    LoginsBusy,
    TlsConfig,
    WebConfig,
    load_web_config,
    tls_context,
)
from tests.web.fakes import FakeNic, get, observe, serving

ORIGIN = "--web-config web.yml"


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-signed cert.pem and its key.pem for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def test_no_file_is_plain_http_for_everyone() -> None:
    assert load_web_config("", ORIGIN) == WebConfig()


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(
        "tls_server_config:\n  cert_file: a.pem\n  key_file: b.pem\n"
        f"basic_auth_users:\n  alice: {hashed('secret')}\n"
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
    )
    config = load_web_config(str(file), ORIGIN)
    assert config.tls_server_config == TlsConfig(cert_file=Path("a.pem"), key_file=Path("b.pem"))
    assert list(config.basic_auth_users) == ["alice"]
    assert config.http_server_config.headers == {"X-Frame-Options": "deny"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tls_server_confg: {}", "tls_server_confg: no such key here"),
        ("tls_server_config: {cert_file: a}", "tls_server_config.key_file: Field required"),
        ("http_server_config: {http2: true}", "http_server_config.http2: no such key here"),
        ("basic_auth_users: {bob: plain}", "basic_auth_users.bob: must be a bcrypt hash"),
        ("basic_auth_users: {'a:b': x}", "basic_auth_users.a:b: a user's name has no colon"),
        (
            f"basic_auth_users: {{bob: $2b$03${'x' * 53}}}",
            "basic_auth_users.bob: bcrypt's cost must be 4 to 14, not 03",
        ),
        (
            f"basic_auth_users: {{bob: $2b$15${'x' * 53}}}",
            "basic_auth_users.bob: bcrypt's cost must be 4 to 14, not 15",
        ),
        (
            f"basic_auth_users: {{bob: $2b$99${'x' * 53}}}",
            "basic_auth_users.bob: bcrypt's cost must be 4 to 14, not 99",
        ),
        ("http_server_config: {headers: {'a b': x}}", "http_server_config.headers.a b: no header"),
        ('http_server_config: {headers: {a: "x\\r\\ny"}}', "http_server_config.headers.a: no header"),
        (
            "http_server_config: {headers: {Content-Length: '1'}}",
            "http_server_config.headers.Content-Length: no header",
        ),
        ("[" * 9999, "not YAML: "),
        ("a: 2026-99-99", "not YAML: "),
        ("a: [", "not YAML: "),
        ("- a list", "the file: "),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "web.yml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_web_config(str(file), ORIGIN)
    assert str(caught.value).startswith(f"{ORIGIN}: {message}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(SettingsError, match=f"^{ORIGIN}: No such file or directory$"):
        load_web_config("/nowhere/web.yml", ORIGIN)


async def test_only_the_right_password_is_let_in() -> None:
    config = WebConfig(basic_auth_users={"alice": hashed("secret")})
    async with serving(observe(FakeNic()), config) as url:
        assert (await get(url + "/metrics"))[0] == 401
        for header in (basic("alice", "wrong"), basic("bob", "secret"), "Basic !!!", "Bearer x", "Basic YQ=="):
            assert (await get(url + "/metrics", Authorization=header))[0] == 401
        for _ in range(2):
            assert (await get(url + "/metrics", Authorization=basic("alice", "secret")))[0] == 200


async def test_right_passwords_are_remembered_up_to_a_limit() -> None:
    users = {f"user{number}": hashed("secret") for number in range(MOST_REMEMBERED + 2)}
    auth = BasicAuth(users)
    for user in users:
        assert await auth.allows(basic(user, "secret"))
    assert len(auth._right) == MOST_REMEMBERED
    assert await auth.allows(basic("user0", "secret"))


async def test_passwords_that_wait_for_bcrypt_are_bounded() -> None:
    auth = BasicAuth({"alice": hashed("secret")})
    tried = [asyncio.create_task(auth.allows(basic("alice", f"wrong{number}"))) for number in range(MOST_WAITING + 5)]
    found = await asyncio.gather(*tried, return_exceptions=True)
    assert [type(each) for each in found] == [bool] * MOST_WAITING + [LoginsBusy] * 5
    assert await auth.allows(basic("alice", "secret"))


async def test_a_hash_that_matches_nothing_lets_nobody_in() -> None:
    assert not await BasicAuth({"alice": "$2b$04$" + "." * 22 + "!" * 31}).allows(basic("alice", "secret"))


async def test_tls_is_served(certificate: Path) -> None:
    config = WebConfig(tls_server_config=TlsConfig(cert_file=Path("cert.pem"), key_file=Path("key.pem")))
    observed = observe(FakeNic(), web_config=str(certificate / "web.yml"))
    trust = ssl.create_default_context(cafile=certificate / "cert.pem")
    async with serving(observed, config) as url, aiohttp.ClientSession() as session:
        assert url.startswith("https://")
        async with session.get(url + "/-/healthy", ssl=trust) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TlsConfig(cert_file=Path("no.pem"), key_file=Path("key.pem")), "no.pem and key.pem: No such file"),
        (TlsConfig(cert_file=Path("key.pem"), key_file=Path("key.pem")), "key.pem and key.pem: "),
        (
            TlsConfig(cert_file=Path("cert.pem"), key_file=Path("key.pem"), client_ca_file=Path("no.pem")),
            "no.pem: No such file",
        ),
        (
            TlsConfig(
                cert_file=Path("cert.pem"), key_file=Path("key.pem"), client_auth_type="RequireAndVerifyClientCert"
            ),
            "client_auth_type needs client_ca_file",
        ),
    ],
)
def test_bad_certificates_are_one_line(certificate: Path, config: TlsConfig, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        tls_context(config, str(certificate / "web.yml"), ORIGIN)
    assert str(caught.value).startswith(f"{ORIGIN}: tls_server_config: {message}")
    assert "\n" not in str(caught.value)


def test_clients_must_show_a_certificate_when_it_is_asked_for(certificate: Path) -> None:
    config = TlsConfig(
        cert_file=Path("cert.pem"),
        key_file=Path("key.pem"),
        client_ca_file=Path("cert.pem"),
        client_auth_type="RequireAndVerifyClientCert",
        min_version="TLS13",
    )
    context = tls_context(config, str(certificate / "web.yml"), ORIGIN)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
