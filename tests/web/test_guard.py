"""Who may do what: every answer depends on the request alone, and web pages of others get nothing done."""

import itertools
from pathlib import Path

import aiohttp
import pytest

from asyncnic.web.security import WebConfig
from tests.web.fakes import FakeNic, Reloads, get, observe, serving
from tests.web.test_security import basic, hashed

USERS = WebConfig(basic_auth_users={"alice": hashed("secret"), "bob": hashed("other")})
LIFECYCLE = {"enable_lifecycle": "true"}


async def test_an_answer_depends_on_the_request_alone_whatever_came_before() -> None:
    asked = {
        basic("alice", "secret"): 200,
        basic("bob", "other"): 200,
        basic("nobody", "secret"): 401,
        basic("bob", "secret"): 401,
        basic("alice", "other"): 401,
        basic("alice", ""): 401,
        basic("alice", "sec\0ret"): 401,
        basic("", "secret"): 401,
    }
    async with serving(observe(FakeNic()), USERS) as url:
        for header in itertools.chain.from_iterable(itertools.permutations(asked, 2)):
            assert (await get(url + "/metrics", Authorization=header))[0] == asked[header], header


async def test_probes_need_no_password_and_everything_else_does() -> None:
    paths = ["/metrics", "/", "/static/live.js", "/api/v1/stats", "/api/v1/settings", "/api/v1/knobs", "/api/v1/ring"]
    paths += [
        "/api/v1/regs",
        "/api/v1/sockets",
        "/api/v1/capture",
        "/api/v1/events",
        "/nothing",
        "/-/healthy/",
        "/-//healthy",
        "/-/reload",
    ]
    async with serving(observe(FakeNic(), **LIFECYCLE), USERS) as url:
        for probe in ("/-/healthy", "/-/ready"):
            assert (await get(url + probe))[0] == 200
        for path in paths:
            assert (await get(url + path))[0] == 401, path


@pytest.mark.parametrize("with_users", [False, True])
@pytest.mark.parametrize("lifecycle", [False, True])
async def test_frames_are_for_the_control_socket_or_those_who_are_known(
    tmp_path: Path, with_users: bool, lifecycle: bool
) -> None:
    flags = {"control": str(tmp_path / "a.sock"), **(LIFECYCLE if lifecycle else {})}
    headers = {"Authorization": basic("alice", "secret")} if with_users else {}
    async with serving(observe(FakeNic(), **flags), USERS if with_users else None) as url:
        async with (
            aiohttp.ClientSession() as session,
            session.get(url + "/api/v1/capture?count=1", headers=headers) as response,
        ):
            assert response.status == (200 if with_users and lifecycle else 403)
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(flags["control"])) as session,
            session.get("http://x/api/v1/capture?count=1") as response,
        ):
            assert response.status == 200


CHANGES = [("POST", "/-/reload", b""), ("PUT", "/-/reload", b""), ("PUT", "/api/v1/settings", b'{"rx_budget": 1}')]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:9732"}, 200),
        ({"Host": "192.0.2.7"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:9732"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "[bad"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}, 200),
        ({"Host": "127.0.0.1", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:2"}, 403),
        ({"Host": "127.0.0.1", "Origin": "null"}, 403),
        ({"Host": "127.0.0.1", "Origin": ""}, 403),
    ],
)
async def test_a_foreign_host_or_origin_changes_nothing(headers: dict[str, str], status: int) -> None:
    service = Reloads()
    async with serving(observe(FakeNic(), **LIFECYCLE), reloads=service) as url, aiohttp.ClientSession() as session:
        for method, path, body in CHANGES:
            async with session.request(method, url + path, data=body, headers=headers) as response:
                assert response.status == status, (path, await response.text())
    assert (service.count, len(service.tuned)) == ((2, 1) if status == 200 else (0, 0))


async def test_a_page_of_somebody_else_reads_nothing_either() -> None:
    async with serving(observe(FakeNic())) as url:
        for path in ("/metrics", "/api/v1/stats", "/api/v1/events", "/-/healthy"):
            assert (await get(url + path, Origin="http://evil.example"))[0] == 403, path
        assert (await get(url + "/metrics", Host="name.of.the.scrape.config"))[0] == 200


async def test_with_a_password_any_name_will_do() -> None:
    service = Reloads()
    async with (
        serving(observe(FakeNic(), **LIFECYCLE), USERS, service) as url,
        aiohttp.ClientSession(headers={"Authorization": basic("alice", "secret"), "Host": "nic.example"}) as session,
        session.post(url + "/-/reload") as response,
    ):
        assert response.status == 200
