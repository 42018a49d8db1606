"""HTTP as curl sees it: TLS with a certificate that openssl made, basic auth, health, readiness, reload."""

import json
import subprocess
from pathlib import Path

import bcrypt
import pytest

from tests.system.service import PATIENCE, Run, Service, asyncnic, environment, imbalance, program

PASSWORD = "correct horse"
LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


def curl(url: str, *options: str) -> tuple[int, str]:
    """HTTP status (0: no answer) and body, as curl got them."""
    result = subprocess.run(
        ["curl", "-s", "--noproxy", "*", "--max-time", str(PATIENCE), "-w", "\n%{http_code}", *options, url],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    body, _, status = result.stdout.rpartition("\n")
    return int(status), body


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost; its path. The key lies beside it."""
    certificate = folder / "cert.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    program("openssl", "req", "-x509", *kind, *names, "-keyout", str(folder / "key.pem"), "-out", str(certificate))
    return certificate


@LOOPS
def test_tls_and_basic_auth(run: Run, tmp_path: Path, loop: str) -> None:
    certificate = make_certificate(tmp_path)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    config = tmp_path / "web.yml"
    config.write_text(
        f"tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}\n"
        f"basic_auth_users: {{me: '{hashed}'}}\n"
        f"http_server_config: {{headers: {{X-Frame-Options: deny}}}}\n"
    )
    trust, user = ("--cacert", str(certificate)), ("--user", f"me:{PASSWORD}")
    with run("--loop", loop, "--web-config", str(config)) as service:
        service.authenticate("me", PASSWORD, certificate)
        assert service.url.startswith("https://")
        assert curl(service.url + "/metrics", *user)[0] == 0  # not trusted
        assert curl(service.url + "/metrics", *trust)[0] == 401
        assert curl(service.url + "/metrics", *trust, "--user", "me:wrong")[0] == 401
        assert curl(service.url + "/metrics", *trust, "--user", f"you:{PASSWORD}")[0] == 401
        status, text = curl(service.url + "/metrics", *trust, *user)
        assert (status, "asyncnic_offered_frames_total" in text) == (200, True)
        assert "X-Frame-Options: deny" in curl(service.url + "/-/healthy", *trust, *user, "-i")[1]
        assert curl(service.url.replace("https", "http") + "/-/healthy", *trust, *user)[0] != 200

        url = service.url.replace("https://", f"https://me:{PASSWORD.replace(' ', '%20')}@")
        shown = asyncnic("stats", "--url", url, "--cacert", str(certificate), "--json")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert imbalance(json.loads(shown.stdout)) == 0
        refused = asyncnic("stats", "--url", service.url, "--cacert", str(certificate))
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "user and password" in refused.stderr
        assert PASSWORD not in service.log


def test_health_and_readiness(run: Run) -> None:
    with run() as service:
        assert curl(service.url + "/-/healthy") == (200, "asyncnic is healthy.\n")
        assert curl(service.url + "/-/ready") == (200, "asyncnic is ready.\n")
        assert curl(service.url + "/nothing")[0] == 404
        assert curl(service.url + "/metrics", "-X", "POST")[0] == 405


def test_reload_needs_the_flag(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text("rx_budget = 32")
    with run("--config", str(config)) as service:
        config.write_text("rx_budget = 16")
        status, text = curl(service.url + "/-/reload", "-X", "POST")
        assert (status, "--enable-lifecycle" in text) == (403, True)
        assert budget(service) == 32


def test_reload(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text("rx_budget = 32")
    with run("--config", str(config), "--enable-lifecycle") as service:
        assert curl(service.url + "/-/reload")[0] == 405  # looking changes nothing
        config.write_text("rx_budget = 16")
        assert curl(service.url + "/-/reload", "-X", "POST") == (200, "reloaded\n")
        assert budget(service) == 16
        config.write_text("rx_budget = 0")
        status, text = curl(service.url + "/-/reload", "-X", "POST")
        assert status == 500
        assert text.startswith(f"reload refused: rx_budget in {config}: must be a whole number from 1 to 4096")
        assert text.count("\n") == 1
        config.unlink()
        assert curl(service.url + "/-/reload", "-X", "POST")[0] == 500
        assert budget(service) == 16


def budget(service: Service) -> int:
    return int(service.stats()["settings"]["rx_budget"])
