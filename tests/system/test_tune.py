"""A real service under a real flood has every knob turned many times: no frame is lost by it, and each change shows."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from asyncnic.client.client import ServiceAddress
from tests.system.flood import flood
from tests.system.privileges import NO_CAPABILITIES
from tests.system.service import HOST, Run, Service, asyncnic, imbalance, ledger_of, program, wait_until

ENDLESS = 10_000_000
"""Datagrams a second: more than any machine sends."""
DISCARD = ("--service", "udp-discard:9")
TURNS = 80
KNOBS: dict[str, tuple[object, ...]] = {
    "rx_budget": (1, 8, 64, 512, 4096, "auto"),
    "target_lag": ("100us", "2ms", "1s"),
    "rx_time_budget": ("1us", "100us", "2ms", "1s"),
    "busy_poll": ("0us", "200us"),
    "rx_usecs": ("0us", "100us", "1ms", "10ms", "auto"),
    "sink_window": (1, 1024),
    "queue_limit": (1, 100, 5000),
    "queue_policy": ("drop-newest", "drop-oldest", "pause"),
    "overload": ("leave", "drain"),
    "tap_queue": (1, 100, 2000),
    "target_age": ("0us", "1ms", "100ms"),
    "lane_queue": ([], ["bulk=50"]),
    "lane_weight": ([], ["control=2"]),
    "shed": ([], ["udp:19"]),
}


def control(service: Service) -> ServiceAddress:
    """The service's control socket, where the test run lets it be."""
    return ServiceAddress("http://control", control=Path(os.environ["RUNTIME_DIRECTORY"]) / f"{service.tap}.sock")


def settings(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(service.ask("/api/v1/settings")[1])
    return found


def gauge(service: Service, name: str) -> float:
    """`asyncnic_setting` of one knob."""
    start = f'asyncnic_setting{{device="tap:{service.tap}",name="{name}"}} '
    [line] = [line for line in service.ask("/metrics")[1].splitlines() if line.startswith(start)]
    return float(line.removeprefix(start))


@pytest.mark.parametrize("delivery", ["direct", "queue"])
def test_every_knob_is_turned_during_a_flood_and_no_frame_is_lost(run: Run, delivery: str) -> None:
    choice = random.Random(1)
    names = [name for name in KNOBS if delivery == "direct" or name not in ("rx_budget", "target_lag")]
    with run("--delivery", delivery, *DISCARD) as service:
        assert set(settings(service)) == {*KNOBS, "lane"}
        with flood(ENDLESS):
            wait_until(lambda: service.stats()["delivered"] > 1000, "frames are delivered")
            before = service.stats()
            for turn in range(TURNS):
                name = names[turn % len(names)]
                value = choice.choice(KNOBS[name])
                control(service).put_json("/api/v1/settings", {name: value})
                stats = service.stats()
                assert stats["settings"][name] == value
                assert imbalance(stats) == 0, ledger_of(stats)
            assert service.stats()["delivered"] > before["delivered"]
        control(service).put_json("/api/v1/settings", {"queue_policy": "drop-newest", "tap_queue": 1000})
        service.settled()


def test_the_command_turns_and_shows_and_the_metrics_follow_at_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "my.sock"
    with run("--control", str(path)) as service:
        done = asyncnic("tune", "--control", str(path), "rx_budget=32", "overload=drain", "tap_queue=300")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "overload   leave -> drain",
            "rx_budget  64 -> 32",
            "tap_queue  1000 -> 300",
        ]
        assert [gauge(service, name) for name in ("rx_budget", "overload", "tap_queue")] == [32, 1, 300]
        assert "rx_budget changed old=64 new=32" in service.log
        refused = asyncnic("tune", "--control", str(path), "rx_budget=8", "overlod=leave")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == "asyncnic: overlod: no such knob; did you mean overload?\n"
        assert gauge(service, "rx_budget") == 32
        assert "rx_budget   " in asyncnic("tune", "--control", str(path)).stdout
        assert service.ask("/api/v1/settings", "PUT")[0] == 403
    assert not path.exists()


def test_an_automatic_budget_follows_the_flood(run: Run) -> None:
    with run("--rx-budget", "auto", "--target-lag", "100us", *DISCARD) as service:
        assert gauge(service, "rx_budget_auto") == 1
        assert settings(service)["rx_budget"] == "auto"
        with flood(ENDLESS):
            wait_until(lambda: gauge(service, "rx_budget") < 64, "a small budget for a small lag")
            control(service).put_json("/api/v1/settings", {"target_lag": "1s"})
            wait_until(lambda: gauge(service, "rx_budget") == 256, "the whole ring for a large one")
            control(service).put_json("/api/v1/settings", {"rx_budget": 16})
            assert gauge(service, "rx_budget") == 16
            assert gauge(service, "rx_budget_auto") == 0


def test_a_knob_that_the_kernel_refuses_puts_everything_back(run: Run, tap_name: str) -> None:
    program("ip", "tuntap", "add", tap_name, "mode", "tap", "user", "root")
    program("ip", "addr", "add", "192.0.2.1/24", "dev", tap_name)
    program("ip", "link", "set", tap_name, "up")
    with run(prefix=NO_CAPABILITIES) as service:
        before = settings(service)
        done = asyncnic(
            "tune", "--control", str(control(service).control), "rx_budget=8", "tap_queue=77", "overload=drain"
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "CAP_NET_ADMIN" in done.stderr
        assert settings(service) == before
        assert [gauge(service, name) for name in ("rx_budget", "overload", "tap_queue")] == [64, 0, 1000]
        program("ping", "-n", "-c", "1", "-W", "5", HOST)
