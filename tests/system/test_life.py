"""What happens to a service in its life: killed, stopped under flood, reloaded, its TAP deleted, its stack raising."""

import json
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.flood import flood
from tests.system.service import HOST, MAC, PATIENCE, Run, imbalance, program, wait_until
from tests.trust import recovering
from tests.wire import Wire, frame, make_tap

LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
ENDLESS = 10_000_000
"""Datagrams a second: more than any machine sends."""
DISCARD = ("--service", "udp-discard:9")


@LOOPS
def test_a_killed_service_starts_again_on_a_persistent_tap(run: Run, tap_name: str, loop: str) -> None:
    make_tap(tap_name)
    for _ in range(2):
        with run("--loop", loop, *DISCARD) as service, flood(ENDLESS):
            wait_until(lambda: service.stats()["delivered"] > 1000, "frames are delivered")
            service.process.send_signal(signal.SIGKILL)
            assert service.process.wait(PATIENCE) == -signal.SIGKILL
    with ExitStack() as held:
        with recovering():
            service = held.enter_context(run("--loop", loop))
        program("ping", "-n", "-c", "3", "-i", "0.05", "-W", "5", HOST)
        assert 3 <= service.settled()["delivered"] < 1000  # what the dead were offered is not counted again


@LOOPS
@pytest.mark.parametrize("delivery", ["direct", "queue"])
def test_sigterm_under_flood_delivers_what_the_ring_holds(run: Run, loop: str, delivery: str) -> None:
    with run("--loop", loop, "--delivery", delivery, *DISCARD) as service, flood(ENDLESS):
        wait_until(lambda: sum(service.stats()["dropped"].values()), "the flood is too much")
        before = service.stats()
        ledger = service.terminate()
        assert ledger["offered"] > before["offered"]
        assert ledger["in_flight"] == 0
        assert "problem=" not in service.log


def queue_length(tap: str) -> int:
    (link,) = json.loads(program("ip", "-j", "link", "show", "dev", tap))
    return int(link["txqlen"])


def test_sighup_applies_good_values_and_refuses_bad_ones(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text('rx_budget = 32\nrx_time_budget = "1ms"\n')
    with run("--config", str(config)) as service:
        assert service.stats()["settings"]["rx_budget"] == 32

        config.write_text(
            'rx_budget = 16\nrx_time_budget = "3ms"\noverload = "drain"\ntap_queue = 2000\nrx_ring = 128\n'
        )
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.stats()["settings"]["rx_budget"] == 16, "the new budget")
        settings = wait_until(lambda: service.stats()["settings"], "settings")
        assert (settings["rx_time_budget"], settings["overload"], settings["tap_queue"]) == ("3ms", "drain", 2000)
        wait_until(lambda: queue_length(service.tap) >= 2000, "the kernel's queue has grown")
        assert settings["rx_ring"] == 256
        wait_until(lambda: "need a restart" in service.log, "what needs a restart is named")
        assert "settings=rx_ring" in service.log
        assert 'asyncnic_setting{device="tap:' + service.tap + '",name="rx_budget"} 16.0' in service.ask("/metrics")[1]

        config.write_text('rx_budget = 8\nrx_time_budget = "soon"\n')
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload refused" in service.log, "the refusal")
        assert f"rx_time_budget in {config}: must be a time with its unit" in service.log
        assert service.stats()["settings"] == settings
        program("ping", "-n", "-c", "1", "-W", "5", HOST)


def test_the_tap_has_carrier_while_somebody_serves_it(run: Run, tap_name: str) -> None:
    make_tap(tap_name)
    assert "Link detected: no" in program("ethtool", tap_name)
    with run():
        assert "Link detected: yes" in program("ethtool", tap_name)
    assert "Link detected: no" in program("ethtool", tap_name)


@LOOPS
def test_a_tap_that_is_deleted_and_made_again(run: Run, tap_name: str, loop: str) -> None:
    make_tap(tap_name)
    with run("--loop", loop) as service:
        program("ping", "-n", "-c", "3", "-i", "0.05", "-W", "5", HOST)
        service.settled()
        program("ip", "link", "del", tap_name)
        wait_until(lambda: service.ask("/-/ready")[0] == 503, "not ready")
        assert service.ask("/-/ready")[1] == f"asyncnic is not ready: device tap:{tap_name} is lost.\n"
        assert service.ask("/-/healthy")[0] == 200
        assert f'asyncnic_device_up{{device="tap:{tap_name}"}} 0.0' in service.ask("/metrics")[1]
        service.tap_is_gone()

        make_tap(tap_name)
        wait_until(lambda: service.ask("/-/ready")[0] == 200, "ready again")
        program("ping", "-n", "-c", "3", "-i", "0.05", "-W", "5", HOST)
        stats = service.settled()
        assert stats["device"]["up"]
        assert stats["stack"]["icmp"]["echo_request"] == 6
        assert f'asyncnic_device_up{{device="tap:{tap_name}"}} 1.0' in service.ask("/metrics")[1]


def test_a_tap_that_is_deleted_under_flood(run: Run, tap_name: str) -> None:
    make_tap(tap_name)
    with run(*DISCARD) as service:
        with flood(ENDLESS):
            wait_until(lambda: sum(service.stats()["dropped"].values()), "the flood is too much")
            program("ip", "link", "del", tap_name)
            wait_until(lambda: service.ask("/-/ready")[0] == 503, "not ready")
        stats = wait_until(lambda: (found := service.stats())["in_flight"] == 0 and found, "nothing in flight")
        assert imbalance(stats) == 0
        assert service.terminate()["offered"] == stats["offered"]


def test_a_stack_that_raises_now_and_then(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from asyncnic.nic.nic import Nic\n\n"
        "async def moody(nic: Nic) -> None:\n"
        "    async for frame in nic.frames():\n"
        "        if frame[17] % 7 == 0:\n"
        "            raise RuntimeError('bad mood')\n"
    )
    with run("--stack", "mine:moody", cwd=tmp_path) as service:
        program("sysctl", "-qw", f"net.ipv6.conf.{service.tap}.disable_ipv6=1")
        already = service.settled()["delivered"]
        assert already == 0
        wire, station = Wire(service.tap), bytes.fromhex(MAC.replace(":", ""))
        wire.send(*(frame(station, number) for number in range(1, 101)))
        wire.close()
        stats = wait_until(lambda: (found := service.stats())["delivered"] == 100 and found, "100 delivered")
        assert imbalance(stats) == 0
        wait_until(lambda: service.stats()["stack_failures"] == 14, "14 failures counted")
        assert service.ask("/-/ready")[0] == 200
        assert service.log.count("problem=") == 5  # and the others are only counted
        assert "RuntimeError: bad mood" in service.log


def test_a_stack_that_never_gets_anywhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("async def dead(nic):\n    raise SystemExit('no')\n")
    with run("--stack", "mine:dead", cwd=tmp_path, serving=False) as service:
        wait_until(lambda: "SystemExit: no" in service.ask("/-/ready")[1], "not ready, and why")
        assert service.ask("/-/healthy")[0] == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE) == 0
        ledger = json.loads(service.log.splitlines()[-1])
        assert imbalance(ledger) == 0


@LOOPS
def test_the_kernels_interface_is_deleted_and_back(run: Run, tap_name: str, loop: str) -> None:
    interface = f"k{tap_name}"
    make_tap(interface)
    with run("--loop", loop, "--stack", "kernel", "--kernel-if", interface) as service:
        program("ip", "link", "del", interface)
        wait_until(lambda: service.ask("/-/ready")[0] == 503, "not ready")
        assert f"--kernel-if {interface}: the interface was deleted" in service.ask("/-/ready")[1]
        make_tap(interface)
        wait_until(lambda: service.ask("/-/ready")[0] == 200, "ready again")
        assert "the kernel's interface is back" in service.log
    program("ip", "link", "del", interface)
