"""UDP as other people's programs speak it: nc against the echo service, dig against a DNS responder of dnslib."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.service import (
    HOST,
    HOST6,
    MAC,
    PATIENCE,
    PEER6,
    Run,
    add_ipv6,
    imbalance,
    program,
    wait_until,
    wire_counters,
)

BOTH = ("--address", f"{HOST}/24", "--address", f"{HOST6}/64")
RESPONDER = Path(__file__).with_name("dns_responder.py")


def nc(address: str, port: int, text: str) -> str:
    """Send one datagram with netcat and return what came back within a second."""
    return program("nc", "-u", "-w", "1", address, str(port), input=text)


def dig(address: str, name: str, kind: str) -> list[str]:
    """What dig finds: the lines of its short form."""
    said = program("dig", f"@{address}", "+short", "+tries=2", "+time=4", name, kind)
    return said.splitlines()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_netcat_is_echoed(run: Run, loop: str) -> None:
    with run("--loop", loop, "--service", "udp-echo:7", "--service", "udp-discard:9") as service:
        assert nc(HOST, 7, "hello\n") == "hello\n"
        assert nc(HOST, 7, "x" * 8000) == "x" * 8000  # in fragments, both ways
        assert nc(HOST, 9, "hello\n") == ""
        assert service.settled()["stack"]["udp"]["delivered"] == 3


def test_netcat_is_echoed_over_ipv6(run: Run) -> None:
    with run(*BOTH) as service:
        add_ipv6(service.tap)
        assert nc(HOST6, 7, "hello\n") == "hello\n"
        assert nc(HOST6, 7, "x" * 8000) == "x" * 8000


def test_every_address_answers_for_itself(run: Run) -> None:
    """netcat connects: it hears nothing that comes from another address than the one that it asked."""
    others = "192.0.2.9", "2001:db8::9"
    with run(*BOTH, "--address", "192.0.2.9/24", "--address", "2001:db8::9/64") as service:
        add_ipv6(service.tap)
        for address in (HOST, HOST6, *others):
            assert nc(address, 7, "hello\n") == "hello\n"
        stats = service.settled()
        assert {stats["addresses"][address] for address in (HOST, HOST6, *others)} == {"preferred"}


def test_an_address_that_another_host_has_is_not_served_and_said(run: Run, tap_name: str) -> None:
    """The host's side of the TAP has it already: duplicate address detection finds out."""
    program("ip", "tuntap", "add", tap_name, "mode", "tap")
    program("ip", "addr", "add", f"{PEER6}/64", "dev", tap_name, "nodad")
    with run(*BOTH, "--address", f"{PEER6}/64", serving=False) as service:
        why = wait_until(lambda: service.stats()["not_ready"], "the address is lost")
        assert why.startswith(f"address {PEER6} is in use by ")
        assert service.ask("/-/ready")[0] == 503
        stats = service.stats()
        assert stats["addresses"] | {PEER6: "duplicate"} == stats["addresses"]
        assert stats["stack_events"]["addresses_lost"] == 1
        assert "another host claims an address" in service.log
        assert nc(HOST6, 7, "hello\n") == "hello\n"


def test_a_protocol_written_for_the_loop_serves_dig(tap_name: str) -> None:
    program("ip", "tuntap", "add", tap_name, "mode", "tap")
    command = [sys.executable, str(RESPONDER), tap_name, MAC, f"{HOST}/24", f"{HOST6}/64"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            add_ipv6(tap_name)
            for address in (HOST, HOST6):
                assert dig(address, "nic.example", "A") == ["192.0.2.2"]
                assert dig(address, "nic.example", "AAAA") == ["2001:db8::2"]
                assert dig(address, "nic.example", "TXT") == [f'"{"x" * 200}"']
                assert dig(address, "other.example", "A") == []
            said, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0
    ledger = json.loads(said)
    assert imbalance(ledger) == 0
    # What the kernel said itself after the nic had stopped was dropped on a wire that nobody held any more.
    assert ledger["offered"] - ledger["dropped"]["kernel"] == wire_counters(tap_name)[0]
    assert ledger["delivered"] > 8


def test_the_command_line_finds_the_responder(run: Run) -> None:
    with run("--service", "dns_responder:Responder:53", cwd=RESPONDER.parent):
        assert dig(HOST, "nic.example", "A") == ["192.0.2.2"]
        assert "status: NXDOMAIN" in program("dig", f"@{HOST}", "+tries=2", "+time=4", "other.example")
