"""The image's health check, against services of every kind of configuration."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncnic.web.security import TlsConfig, WebConfig, access
from tests.deploy.test_configuration import DEPLOY
from tests.web.fakes import FakeNic, observe, serving
from tests.web.test_security import certificate, hashed

__all__ = ["certificate"]
CHECK = (sys.executable, "-I", str(DEPLOY / "container" / "healthcheck.py"))


def check(*arguments: str, folder: Path) -> tuple[int, str]:
    """Exit code and what it said."""
    environ = {"RUNTIME_DIRECTORY": str(folder)}
    found = subprocess.run([*CHECK, *arguments], env=environ, capture_output=True, text=True, timeout=20, check=False)
    return found.returncode, found.stderr


@pytest.mark.parametrize("kind", ["plain", "users", "tls", "client certificates"])
async def test_it_needs_to_know_nothing_of_the_configuration(tmp_path: Path, certificate: Path, kind: str) -> None:
    tls = TlsConfig(
        cert_file=Path("cert.pem"),
        key_file=Path("key.pem"),
        client_ca_file=Path("cert.pem"),
        client_auth_type="RequireAndVerifyClientCert" if kind == "client certificates" else "NoClientCert",
    )
    config = WebConfig(
        tls_server_config=tls if kind in ("tls", "client certificates") else None,
        basic_auth_users={"alice": hashed("secret")} if kind != "plain" else {},
    )
    entry = access(config, str(certificate / "web.yml"), "")
    async with serving(observe(FakeNic(), control=str(tmp_path / "any.sock")), entry):
        assert await asyncio.to_thread(check, folder=tmp_path) == (0, "")
    code, said = await asyncio.to_thread(check, folder=tmp_path)
    assert (code, said.count("\n")) == (1, 1)


async def test_a_service_in_a_namespace_that_nobody_keeps_is_not_healthy(tmp_path: Path) -> None:
    network = tmp_path / "network"
    network.write_text(os.readlink("/proc/self/ns/net"))
    flag = ("--network", str(network))
    async with serving(observe(FakeNic(), control=str(tmp_path / "any.sock"))):
        assert await asyncio.to_thread(check, *flag, folder=tmp_path) == (0, "")
        network.write_text("net:[1]")
        code, said = await asyncio.to_thread(check, *flag, folder=tmp_path)
        assert (code, "has begun anew" in said) == (1, True)
