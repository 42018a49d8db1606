"""HTTP over a real socket: each path, each answer."""

import json
import socket

import aiohttp
import pytest

from asyncnic.devices.device import DeviceLost
from asyncnic.errors import Failed, SettingsError
from asyncnic.web.security import HttpConfig, WebConfig
from asyncnic.web.server import WebServer
from tests.web.fakes import FakeNic, Reloads, get, observe, serving


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
        observed.stack_down = "the stack coroutine ended: ValueError"
        assert await get(url + "/-/ready") == (503, "asyncnic is not ready: the stack coroutine ended: ValueError.\n")
        observed.nic.device_up = False  # type: ignore[misc]  # the fake's may be set
        assert await get(url + "/-/ready") == (503, "asyncnic is not ready: device tap:golden0 is lost.\n")
        observed.phase = "stopping"
        assert await get(url + "/-/ready") == (503, "asyncnic is not ready: stopping.\n")
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
            await WebServer(observed, WebConfig(), Reloads()).start()


async def test_an_address_of_another_machine_names_the_flag() -> None:
    observed = observe(FakeNic(), listen="192.0.2.77:9732")
    with pytest.raises(Failed, match=r"^--listen 192\.0\.2\.77:9732: "):
        await WebServer(observed, WebConfig(), Reloads()).start()
