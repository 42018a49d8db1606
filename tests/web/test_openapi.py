"""The description is of what is there, and whatever a program makes of it is answered as it says."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncnic.errors import DeviceError, SettingsError
from asyncnic.web.openapi import description
from asyncnic.web.security import WebConfig, access
from asyncnic.web.server import WebServer
from tests.web.fakes import FakeNic, Reloads, get, observe, serving

THE_PAGES_OWN = {"/api/v1/events"}
"""What the live page asks, and nobody else."""


async def test_every_route_is_described_and_served() -> None:
    server = WebServer(observe(FakeNic()), access(WebConfig(), "", "--web-config"), Reloads())
    routes: Any = server._runner.app.router.routes()
    there = {(route.resource.canonical, route.method.lower()) for route in routes if route.method != "HEAD"}
    described = {(path, method) for path, methods in description()["paths"].items() for method in methods}
    for_programs = {one for one in there if one[0].startswith(("/api/", "/-/", "/metrics"))}
    assert described == {one for one in for_programs if one[0] not in THE_PAGES_OWN}


async def test_it_is_served() -> None:
    async with serving(observe(FakeNic())) as url:
        status, text = await get(f"{url}/api/v1/openapi.json")
        assert (status, json.loads(text)) == (200, description())


@pytest.mark.heavy
@pytest.mark.parametrize("error", [None, SettingsError("--rx-ring 3: must be"), DeviceError("tap:a0: busy")])
async def test_whatever_schemathesis_asks_is_answered_as_described(error: Exception | None, tmp_path: Path) -> None:
    reloads = Reloads()
    reloads.error = error
    async with serving(observe(FakeNic(), enable_lifecycle=True, control=""), reloads=reloads) as url:
        checks = "not_a_server_error,status_code_conformance,content_type_conformance"
        checks = checks.removeprefix("not_a_server_error,") if error else checks
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/api/v1/openapi.json"),
            *("--checks", checks, "--max-examples", "30", "--seed", "1", "--suppress-health-check", "all"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 200)
        assert process.returncode == 0, said.decode()
