"""HTTP over a real socket: each path, each answer."""

import json
import socket
from dataclasses import asdict
from pathlib import Path

import aiohttp
import pytest

from asyncnic.errors import DeviceError, DeviceLost, Failed, SettingsError
from asyncnic.stacks.stack import Socket, Sockets
from asyncnic.web.security import HttpConfig, WebConfig, access
from asyncnic.web.server import WebServer
from tests.web.fakes import FakeNic, Reloads, get, observe, serving
from tests.web.test_security import hashed


async def put(url: str, body: bytes) -> tuple[int, str]:
    """Status and text of the answer to settings that are put."""
    async with aiohttp.ClientSession() as session, session.put(url + "/api/v1/settings", data=body) as response:
        return response.status, await response.text()


async def test_metrics_are_prometheus_text_by_default() -> None:
    async with serving(observe(FakeNic())) as url, aiohttp.ClientSession() as session:
        async with session.get(url + "/metrics") as response:
            text = await response.text()
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'asyncnic_offered_frames_total{device="tap:golden0"} 1000.0' in text
    assert "process_resident_memory_bytes" in text
    assert "python_gc_objects_collected_total" in text
    assert "# EOF" not in text


async def test_metrics_are_openmetrics_when_asked_for() -> None:
    async with serving(observe(FakeNic())) as url, aiohttp.ClientSession() as session:
        headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with session.get(url + "/metrics", headers=headers) as response:
            text = await response.text()
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.count("# EOF") == 1
    assert text.endswith("# EOF\n")
    assert "# TYPE asyncnic_offered_frames counter" in text


async def test_metrics_are_compressed_when_asked_for() -> None:
    async with serving(observe(FakeNic())) as url, aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(url + "/metrics", headers={"Accept-Encoding": "gzip"}) as response:
            body = await response.read()
        assert response.headers["Content-Encoding"] == "gzip"
    assert body[:2] == b"\x1f\x8b"


async def test_health_and_readiness() -> None:
    observed = observe(FakeNic())
    async with serving(observed) as url:
        assert (await get(url + "/-/healthy"))[0] == 200
        assert (await get(url + "/-/ready"))[0] == 200
        observed.stack.down = "the stack coroutine ended: ValueError"
        assert await get(url + "/-/ready") == (503, "asyncnic is not ready: the stack coroutine ended: ValueError.\n")
        observed.nic.device_up = False  # type: ignore[misc]  # the fake's may be set
        assert await get(url + "/-/ready") == (503, "asyncnic is not ready: device tap:golden0 is lost.\n")
        for phase in ("draining", "stopping"):
            observed.phase = phase
            assert await get(url + "/-/ready") == (503, f"asyncnic is not ready: {phase}.\n")
        assert (await get(url + "/-/healthy"))[0] == 200


async def test_reload_is_off_unless_enabled() -> None:
    reloads = Reloads()
    async with (
        serving(observe(FakeNic()), reloads=reloads) as url,
        aiohttp.ClientSession() as session,
        session.post(url + "/-/reload") as response,
    ):
        assert response.status == 403
        assert "--enable-lifecycle" in await response.text()
    assert reloads.count == 0


async def test_reload_says_what_was_wrong() -> None:
    reloads = Reloads()
    observed = observe(FakeNic(), enable_lifecycle=True)
    async with serving(observed, reloads=reloads) as url, aiohttp.ClientSession() as session:
        async with session.post(url + "/-/reload") as response:
            assert response.status == 200
        async with session.get(url + "/-/reload") as response:
            assert response.status == 405
        reloads.error = SettingsError("rx_budget in x.toml: must be a whole number")
        async with session.post(url + "/-/reload") as response:
            assert response.status == 500
            assert await response.text() == "reload refused: rx_budget in x.toml: must be a whole number\n"
    assert reloads.count == 2


async def test_settings_can_be_put_where_the_lifecycle_is_enabled() -> None:
    service = Reloads()
    async with serving(observe(FakeNic(), enable_lifecycle=True), reloads=service) as url:
        assert json.loads((await get(url + "/api/v1/settings"))[1])["rx_budget"] == 64
        assert await put(url, b'{"rx_budget": 32}') == (200, '{"rx_budget": {"old": 64, "new": 32}}')
        service.error = SettingsError("rx_budget=0: must be a whole number")
        assert await put(url, b'{"rx_budget": 0}') == (400, "rx_budget=0: must be a whole number\n")
        service.error = DeviceError("tap:golden0: refused")
        assert await put(url, b'{"tap_queue": 9}') == (500, "tap:golden0: refused\n")
    assert service.tuned == [{"rx_budget": 32}, {"rx_budget": 0}, {"tap_queue": 9}]


async def test_half_a_surrogate_pair_is_refused_like_anything_else() -> None:
    service = Reloads()
    async with serving(observe(FakeNic(), enable_lifecycle=True), reloads=service) as url:
        service.error = SettingsError("lane_queue=\ud800=3: there is no lane \ud800")
        assert await put(url, b'{"lane_queue": ["\\ud800=3"]}') == (
            400,
            "lane_queue=\\ud800=3: there is no lane \\ud800\n",
        )


@pytest.mark.parametrize("body", [b"", b"rx_budget=32", b"[1]", b"null", b"\xff", b"[" * 50_000])
async def test_a_body_that_is_no_object_changes_nothing(body: bytes) -> None:
    service = Reloads()
    async with serving(observe(FakeNic(), enable_lifecycle=True), reloads=service) as url:
        assert await put(url, body) == (400, 'the body must be a JSON object, like {"rx_budget": 32}\n')
    assert service.tuned == []


async def test_settings_cannot_be_put_over_tcp_unless_enabled() -> None:
    service = Reloads()
    async with serving(observe(FakeNic()), reloads=service) as url:
        status, text = await put(url, b'{"rx_budget": 32}')
        assert (status, "--enable-lifecycle" in text) == (403, True)
        assert (await put(url, b"x" * 70_000))[0] == 403
    assert service.tuned == []


async def test_the_control_socket_lets_its_owner_in_and_change_things(tmp_path: Path) -> None:
    service, path = Reloads(), tmp_path / "a.sock"
    config = WebConfig(basic_auth_users={"alice": hashed("secret")})
    async with serving(observe(FakeNic(), control=str(path)), config, service) as url:
        assert (await get(url + "/metrics"))[0] == 401
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
            async with session.put("http://x/api/v1/settings", data=b'{"rx_budget": 1}') as response:
                assert response.status == 200
            async with session.post("http://x/-/reload") as response:
                assert response.status == 200
            async with session.get("http://x/metrics") as response:
                assert "asyncnic_offered_frames_total" in await response.text()
    assert (service.count, service.tuned) == (1, [{"rx_budget": 1}])
    assert not path.exists()


async def test_a_default_place_without_room_is_only_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "no" / "where"))
    async with serving(observe(FakeNic())) as url:
        assert (await get(url + "/-/healthy"))[0] == 200
    [record] = [record for record in caplog.records if record.name == "asyncnic.web.server"]
    assert (record.levelname, record.message) == ("WARNING", "no control socket")


async def test_a_place_that_was_asked_for_must_be_had(tmp_path: Path) -> None:
    path = tmp_path / "no" / "such" / "place"
    with pytest.raises(Failed, match=f"^--control {path}: No such file or directory: choose another path$"):
        async with serving(observe(FakeNic(), control=str(path))):
            pass


async def test_stats_shows_the_budget_that_is_automatic_and_the_one_in_force() -> None:
    nic = FakeNic()
    nic.knobs.rx_budget, nic.knobs.rx_budget_auto = 213, True
    async with serving(observe(nic)) as url:
        numbers = json.loads((await get(url + "/api/v1/stats"))[1])
    assert (numbers["settings"]["rx_budget"], numbers["rx_budget_in_force"]) == ("auto", 213)


async def test_stats_has_the_ledger_on_top() -> None:
    async with serving(observe(FakeNic())) as url:
        numbers = json.loads((await get(url + "/api/v1/stats"))[1])
    ledger = {name: numbers[name] for name in ("offered", "delivered", "filtered", "in_flight", "dropped")}
    dropped = {"kernel": 60, "card": 20, "driver": 6, "queue": 0}
    assert ledger == {"offered": 1000, "delivered": 900, "filtered": 12, "in_flight": 2, "dropped": dropped}
    assert numbers["device"]["mac"] == "02:00:5e:10:00:01"
    assert numbers["settings"]["rx_time_budget"] == "2ms"
    assert numbers["ready"] is True


async def test_stats_shows_the_knobs_as_they_stand() -> None:
    nic = FakeNic()
    observed = observe(nic)
    nic.knobs.busy_poll = 0.00005
    async with serving(observed) as url:
        numbers = json.loads((await get(url + "/api/v1/stats"))[1])
    assert numbers["settings"]["busy_poll"] == "50us"


async def test_ring_and_registers_are_decoded() -> None:
    async with serving(observe(FakeNic())) as url:
        rings = json.loads((await get(url + "/api/v1/ring"))[1])
        registers = json.loads((await get(url + "/api/v1/regs"))[1])
    assert [entry["owner"] for entry in rings["rx"]] == ["card", "host"]
    assert rings["rx"][1]["bits"] == ["STP", "ENP"]
    assert rings["rx"][1]["count"] == 64
    assert rings["rx"][0]["size"] == 2048
    assert registers[0] == {"name": "CSR0", "value": 0x73, "bits": ["INEA", "RXON", "TXON", "STRT", "INIT"]}


async def test_sockets_are_those_of_the_stack() -> None:
    one = Socket("tcp", "established", 1, 2, "192.0.2.2:80", "192.0.2.1:4000", {"cwnd": 14480})
    observed = observe(FakeNic())
    async with serving(observed) as url:
        assert json.loads((await get(url + "/api/v1/sockets"))[1]) == {"listed": [], "left_out": 0}
        observed.sockets = lambda: Sockets([one], 4)
        found = json.loads((await get(url + "/api/v1/sockets"))[1])
    assert found == {"listed": [asdict(one)], "left_out": 4}


async def test_registers_of_a_lost_device_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    nic = FakeNic()

    def lost() -> dict[str, int]:
        raise DeviceLost("tap:golden0: the TAP was deleted")

    monkeypatch.setattr(nic, "registers", lost)
    async with serving(observe(nic)) as url:
        assert await get(url + "/api/v1/regs") == (503, "tap:golden0: the TAP was deleted\n")


async def test_headers_of_the_web_config_are_on_every_answer() -> None:
    config = WebConfig(http_server_config=HttpConfig(headers={"X-Frame-Options": "deny"}))
    async with serving(observe(FakeNic()), config) as url, aiohttp.ClientSession() as session:
        for path in ("/-/healthy", "/nothing/here"):
            async with session.get(url + path) as response:
                assert response.headers["X-Frame-Options"] == "deny"


async def test_a_busy_port_names_the_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        observed = observe(FakeNic(), listen=f"127.0.0.1:{port}")
        with pytest.raises(Failed, match=f"^--listen 127.0.0.1:{port}: the port is in use"):
            await WebServer(observed, access(WebConfig(), "", ""), Reloads()).start()


async def test_an_address_of_another_machine_names_the_flag() -> None:
    observed = observe(FakeNic(), listen="192.0.2.77:9732")
    with pytest.raises(Failed, match=r"^--listen 192\.0\.2\.77:9732: "):
        await WebServer(observed, access(WebConfig(), "", ""), Reloads()).start()


async def test_the_knobs_that_fields_turn_are_told_with_hint_and_choices() -> None:
    async with serving(observe(FakeNic())) as url:
        status, text = await get(f"{url}/api/v1/knobs")
    knobs = {knob["name"]: knob for knob in json.loads(text)}
    assert status == 200
    assert knobs["overload"] == {
        "name": "overload",
        "value": "leave",
        "hint": "leave it to the kernel, or drain it",
        "choices": ["leave", "drain"],
    }
    assert knobs["rx_budget"]["choices"] == []
    assert "lane" not in knobs
