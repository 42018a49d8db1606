"""Lanes of a real service under a real flood: who matters is answered, to the last frame, and every frame is counted.

The bulk lane's queue is kept short, so that it overflows on any machine, however slow the flood.
"""

import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.system.flood import flood
from tests.system.privileges import NO_CAPABILITIES
from tests.system.service import HOST, HOST6, MAC, PEER, Run, Service, add_ipv6, imbalance, program, wait_until
from tests.wire import make_tap

BOTH = ("--address", f"{HOST}/24", "--address", f"{HOST6}/64")
SERVICES = ("--service", "udp-echo:7", "--service", "udp-discard:9")
SHORT = ("--lane-queue", "bulk=16")
FLAT_OUT = 5_000_000
"""More datagrams a second than any machine makes here."""


def overflowing(service: Service) -> Mapping[str, Any]:
    """Wait until the flood is there and the bulk lane is full of it; the statistics."""

    def full() -> Mapping[str, Any] | None:
        stats = service.stats()
        return stats if stats["lanes"]["bulk"]["dropped"]["kernel"] > 1000 else None

    return wait_until(full, "the bulk lane overflows")


def check_law(service: Service) -> dict[str, Any]:
    """The statistics once nothing moves: the law in each lane, and in sum with what was shed."""
    stats = service.settled()
    for name, lane in stats["lanes"].items():
        assert imbalance(lane) == 0, (name, lane)
        assert lane["waiting"] == 0
    offered = sum(lane["offered"] for lane in stats["lanes"].values())
    assert stats["offered"] == offered + stats["dropped_by_reason"]["kernel"]["shed"]
    assert stats["dropped_by_reason"]["kernel"]["shed"] == sum(stats["shed"].values())
    return stats


def check_law_of_one(service: Service) -> dict[str, Any]:
    """The same without anybody who counts what waits."""
    stats = service.settled()
    (lane,) = stats["lanes"].values()
    assert imbalance(lane) == 0
    assert lane["waiting"] is None
    return stats


@pytest.mark.parametrize("delivery", ["direct", "queue"])
def test_every_ping_is_answered_under_a_flood(run: Run, delivery: str) -> None:
    with run(*SERVICES, *SHORT, "--delivery", delivery) as service:
        with flood(FLAT_OUT):
            overflowing(service)
            said = program("ping", "-q", "-n", "-c", "200", "-i", "0.01", "-W", "5", HOST)
        assert "200 packets transmitted, 200 received, 0% packet loss" in said
        stats = check_law(service)
        assert stats["lanes"]["control"]["dropped"] == {"kernel": 0, "card": 0, "driver": 0, "queue": 0}
        assert stats["lanes"]["control"]["delivered"] >= 200
        assert stats["lanes"]["bulk"]["delivered"] > 0


def test_neighbours_are_found_under_a_flood(run: Run) -> None:
    with run(*SERVICES, *SHORT, *BOTH, "--address", "192.0.2.9/24") as service:
        add_ipv6(service.tap)
        program("ip", "neigh", "replace", "192.0.2.9", "lladdr", MAC, "dev", service.tap, "nud", "permanent")
        with flood(FLAT_OUT, host="192.0.2.9"):
            overflowing(service)
            for version, address in (("-4", HOST), ("-6", HOST6)) * 5:
                program("ip", version, "neigh", "flush", "to", address, "dev", service.tap)
                program("ping", version, "-n", "-c", "1", "-W", "5", address)
                assert MAC in program("ip", version, "neigh", "show", address, "dev", service.tap)
        stats = check_law(service)
        assert stats["lanes"]["control"]["dropped"]["kernel"] == 0


def test_a_lane_of_ones_own_answers_under_a_flood(run: Run) -> None:
    with run(*SERVICES, *SHORT, "--lane", "control=arp,icmp", "--lane", "dns=udp:7") as service:
        with flood(FLAT_OUT), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            overflowing(service)
            asker.settimeout(10)
            asker.connect((HOST, 7))
            for number in range(300):
                asker.send(b"question %d" % number)
                assert asker.recv(100) == b"question %d" % number
        stats = check_law(service)
        assert stats["lanes"]["dns"]["offered"] == stats["lanes"]["dns"]["delivered"] == 300


def test_rules_change_a_hundred_times_under_a_flood_and_no_ping_is_lost(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    lanes = ('lane = ["control=arp,nd,icmp,icmp6"]\n', 'lane = ["control=arp,nd,icmp,icmp6,tcp:179", "bulk"]\n')
    sheds = ('shed = ["udp:9"]\n', "shed = []\n", 'shed = ["src:198.51.100.0/24", "udp:19,udp:9"]\n')
    config.write_text(lanes[0])
    with run("--config", str(config), "--enable-lifecycle", *SERVICES, *SHORT) as service:
        with flood(FLAT_OUT):
            overflowing(service)
            ping = subprocess.Popen(["ping", "-n", "-i", "0.01", "-W", "5", HOST], stdout=subprocess.PIPE, text=True)
            try:
                for change in range(100):
                    config.write_text(lanes[change % 2] + sheds[change % 3])
                    assert service.ask("/-/reload", "POST") == (200, "reloaded\n")
            finally:
                ping.send_signal(2)
                said, _ = ping.communicate()
        (counts,) = re.findall(r"(\d+) packets transmitted, (\d+) received", said)
        assert int(counts[0]) - int(counts[1]) <= 1, said  # the last one may have been under way
        stats = check_law(service)
        assert stats["shed"]["udp:9"] > 0
        assert stats["shed"]["udp:19,udp:9"] > 0
        assert stats["lanes"]["control"]["dropped"] == {"kernel": 0, "card": 0, "driver": 0, "queue": 0}
        assert stats["lanes"]["control"]["delivered"] >= int(counts[1])


def test_what_is_shed_is_counted_to_the_frame(run: Run) -> None:
    with run(*SERVICES, "--shed", "udp:9") as service:
        program("ping", "-n", "-c", "1", "-W", "5", HOST)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(5000):
                sender.sendto(b"unwanted", (HOST, 9))
        program("ping", "-n", "-c", "1", "-W", "5", HOST)
        stats = check_law(service)
        assert stats["shed"] == {"udp:9": 5000}
        assert stats["lanes"]["bulk"]["offered"] == 0
        status, text = service.ask("/metrics")
        assert status == 200
        device = f'device="tap:{service.tap}"'
        assert f'asyncnic_shed_frames_total{{{device},rule="udp:9"}} 5000.0' in text
        assert f'asyncnic_dropped_frames_total{{{device},lane="",reason="shed",stage="kernel"}} 5000.0' in text


def test_names_of_lanes_need_a_restart_and_the_refusal_says_so(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text("")
    with run("--config", str(config), "--enable-lifecycle") as service:
        config.write_text('lane = ["other=arp"]\n')
        status, said = service.ask("/-/reload", "POST")
        assert status == 500
        assert "--lane: names and order are fixed while running (control, bulk): restart" in said
        assert service.stats()["settings"]["lane"] == ["control=arp,nd,icmp,icmp6"]


def test_without_a_capability_there_is_one_lane_and_it_is_said_once(run: Run, tap_name: str) -> None:
    make_tap(tap_name)
    program("ip", "address", "add", f"{PEER}/24", "dev", tap_name)
    with run(*SERVICES, prefix=NO_CAPABILITIES) as service:
        program("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", HOST)
        assert service.log.count("lanes=bulk") == 1
        stats = check_law_of_one(service)
        assert list(stats["lanes"]) == ["bulk"]
