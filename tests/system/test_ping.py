"""ping and arping: is the service there, on both protocols, with all sizes, and does it know its neighbours?"""

import re
import subprocess

import pytest

from tests.system.service import HOST, HOST6, MAC, PEER, PEER6, Run, add_ipv6, program, wait_until

BOTH = ("--address", f"{HOST}/24", "--address", f"{HOST6}/64")
SIZES = (0, 1, 56, 1472, 1473, 8000, 20000)
"""Octets of payload; 1472 is the largest that fits a frame over IPv4."""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("delivery", ["direct", "queue"])
def test_every_ping_is_answered(run: Run, loop: str, delivery: str) -> None:
    with run("--loop", loop, "--delivery", delivery) as service:
        for size in SIZES:
            program("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", "-s", str(size), HOST)
        counted = service.settled()["stack"]["icmp"]
        assert counted["echo_request"] == 3 * len(SIZES)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_every_ping_over_ipv6_is_answered(run: Run, loop: str) -> None:
    with run("--loop", loop, *BOTH) as service:
        add_ipv6(service.tap)
        for size in SIZES:
            program("ping", "-6", "-n", "-c", "3", "-i", "0.01", "-W", "5", "-s", str(size), HOST6)


def test_the_link_local_address_answers(run: Run) -> None:
    with run(*BOTH) as service:
        add_ipv6(service.tap)
        program("ping", "-6", "-n", "-c", "3", "-i", "0.01", "-W", "5", f"fe80::ff:fe00:a%{service.tap}")


def test_a_flood_of_pings_loses_none(run: Run) -> None:
    with run():
        said = program("ping", "-q", "-f", "-c", "1000", HOST)
        assert "1000 packets transmitted, 1000 received, 0% packet loss" in said


def test_arping_is_answered_by_one_station(run: Run) -> None:
    with run() as service:
        said = program("arping", "-c", "5", "-W", "0.05", "-I", service.tap, HOST)
        assert set(re.findall(r"from ([0-9a-f:]{17})", said)) == {MAC}
        assert "5 packets transmitted, 5 packets received,   0% unanswered (0 extra)" in said


def test_arping_for_another_address_is_not_answered(run: Run) -> None:
    with run() as service:
        said = program("arping", "-c", "2", "-W", "0.05", "-I", service.tap, "192.0.2.77", codes=(1,))
        assert "100% unanswered" in said


def test_neighbours_find_each_other_from_nothing(run: Run) -> None:
    with run(*BOTH) as service:
        add_ipv6(service.tap)
        for ping, address in (("-4", HOST), ("-6", HOST6)):
            program("ip", "neigh", "flush", "dev", service.tap)
            program("ping", ping, "-n", "-c", "1", "-W", "5", address)
            assert MAC in program("ip", ping, "neigh", "show", address, "dev", service.tap)


def test_duplicate_addresses_are_defended(run: Run) -> None:
    """The kernel's own duplicate address detection finds that the service has the address."""
    with run(*BOTH) as service:
        add_ipv6(service.tap)
        program("ip", "addr", "add", f"{HOST6}/64", "dev", service.tap)
        wait_until(lambda: "dadfailed" in program("ip", "-6", "addr", "show", "dev", service.tap), "dadfailed")
        program("ip", "addr", "del", f"{HOST6}/64", "dev", service.tap)
        program("ping", "-6", "-n", "-c", "1", "-W", "5", "-I", PEER6, HOST6)


def test_a_hairpin_that_gives_back_what_we_send_costs_nothing(run: Run, tap_name: str) -> None:
    """A port of a bridge that sends what comes in out again, as those of virtual machines that must see each other."""
    bridge = f"{tap_name}b"
    program("ip", "tuntap", "add", tap_name, "mode", "tap")
    program("ip", "link", "add", bridge, "type", "bridge")
    try:
        for port in (tap_name, bridge):
            program("sysctl", "-qw", f"net.ipv6.conf.{port}.accept_dad=0")
            program("ip", "link", "set", port, "up")
        program("ip", "link", "set", tap_name, "master", bridge)
        program("bridge", "link", "set", "dev", tap_name, "hairpin", "on")
        program("ip", "addr", "add", f"{PEER}/24", "dev", bridge)
        program("ip", "addr", "add", f"{PEER6}/64", "dev", bridge, "nodad")
        with run(*BOTH, "--host-address", "") as service:
            ping = ["ping", "-6", "-n", "-q", "-c", "1", "-W", "1", HOST6]
            wait_until(lambda: subprocess.run(ping, capture_output=True, check=False).returncode == 0, "IPv6 answers")
            stats = service.settled()
            assert stats["stack"]["ethernet"]["looped"] >= 3  # a question for each address, an announcement, ...
            assert set(stats["addresses"].values()) == {"preferred"}
            assert stats["stack_events"]["duplicate_addresses"] == 0
            program("ping", "-n", "-q", "-c", "3", "-i", "0.05", "-W", "5", HOST)
            assert service.ask("/-/ready")[0] == 200
    finally:
        program("ip", "link", "del", bridge)
