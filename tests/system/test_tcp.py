"""Programs nobody here wrote, on TCP through the TAP: curl, nc, ab, nmap; and the kernel's TCP over a wire that loses.

The service and the program are on the two sides of one TAP; the kernel's side drops frames where a test says so.
"""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asyncnic.stacks.inet.tcp.config import Config
from asyncnic.stacks.inet.tcp.connection import shift_for
from tests.system.service import (
    HOST,
    HOST6,
    PEER,
    Run,
    Service,
    add_ipv6,
    asyncnic,
    imbalance,
    program,
    wait_until,
)
from tests.system.tcp_site import octets

BOTH = ("--address", f"{HOST}/24", "--address", f"{HOST6}/64")
SERVICES = ("--service", "tcp-echo:7", "--service", "tcp-discard:9", "--service", "http:80")
SITE = ("--service", "tcp:tests.system.tcp_site:site:8080")
MEGABYTE = 1_000_000


def patiently(*command: str, given: str = "") -> str:
    """Run a program that may take longer than others; its standard output."""
    result = subprocess.run(command, input=given, capture_output=True, text=True, timeout=90, check=False)
    assert result.returncode == 0, f"{command}: {result.stderr}"
    return result.stdout


def fetched(path: Path, *arguments: str) -> bytes:
    patiently("curl", "--silent", "--show-error", "--fail", "--output", str(path), *arguments)
    return path.read_bytes()


def settled(service: Service) -> None:
    assert imbalance(service.settled()) == 0


@pytest.mark.parametrize("size", [1000, 100 * MEGABYTE])
def test_curl_gets_and_puts_octets_as_they_are(run: Run, tmp_path: Path, size: int) -> None:
    with run(*SITE) as service:
        got = fetched(tmp_path / "got", f"http://{HOST}:8080/octets/{size}")
        assert got == octets(size)
        said = fetched(tmp_path / "said", "--upload-file", str(tmp_path / "got"), f"http://{HOST}:8080/")
        assert said.decode() == hashlib.sha256(got).hexdigest()
        settled(service)


def test_the_page_shows_the_ledger_over_both_families(run: Run, tmp_path: Path) -> None:
    with run(*BOTH, *SERVICES) as service:
        add_ipv6(service.tap)
        for host in (HOST, f"[{HOST6}]"):
            assert b"Where every frame went" in fetched(tmp_path / "page", f"http://{host}/")
            assert b'"offered"' in fetched(tmp_path / "ledger", f"http://{host}/ledger")
        program("curl", "--silent", "--fail", f"http://{HOST}/nothing", codes=(22,))
        settled(service)


def test_netcat_is_echoed_as_a_stream(run: Run) -> None:
    text = "".join(f"line {number}\n" for number in range(100_000))
    with run(*SERVICES) as service:
        said = subprocess.run(
            ["nc", "-N", HOST, "7"], input=text, capture_output=True, text=True, timeout=50, check=True
        )
        assert said.stdout == text
        settled(service)


def test_a_thousand_requests_by_ab_do_not_fail(run: Run) -> None:
    with run(*SITE) as service:
        for options in ((), ("-k",)):
            said = program("ab", "-q", *options, "-n", "1000", "-c", "50", f"http://{HOST}:8080/octets/1000")
            assert re.search(r"^Complete requests: +1000$", said, re.MULTILINE), said
            assert re.search(r"^Failed requests: +0$", said, re.MULTILINE), said
        settled(service)


def test_nmap_finds_open_and_closed_tcp_ports(run: Run) -> None:
    with run(*SERVICES) as service:
        for scan in ("-sS", "-sT"):
            said = program("nmap", scan, "-p", "7,9,80,81", "-Pn", "-n", "--max-retries", "2", HOST)
            states = dict(re.findall(r"^(\d+)/tcp +(\S+)", said, re.MULTILINE))
            assert states == {"7": "open", "9": "open", "80": "open", "81": "closed"}
        patiently("nmap", "-O", "-sV", "--version-light", "-p", "80,81", "-Pn", "-n", HOST)
        assert program("curl", "--silent", "--fail", f"http://{HOST}/ledger")
        settled(service)


def test_a_peer_that_is_reset_and_one_that_finds_nobody(run: Run) -> None:
    with run(*SERVICES) as service:
        program("nc", "-z", "-w", "2", HOST, "81", codes=(1,))
        program("nc", "-z", "-w", "2", HOST, "7")
        assert service.settled()["stack"]["tcp"]["no_listener"] == 1


def drop(tap: str, percent: int) -> None:
    """Let the kernel lose so many frames of a hundred, both ways."""
    chains = "".join(
        f"chain {hook} {{ type filter hook {hook} device {tap} priority 0; numgen random mod 100 < {percent} drop; }}; "
        for hook in ("ingress", "egress")
    )
    program("nft", f"table netdev lossy {{ {chains} }}")


@pytest.mark.parametrize("percent", [1, 5])
def test_ten_megabytes_both_ways_over_a_wire_that_loses(run: Run, tmp_path: Path, percent: int) -> None:
    size = 10 * MEGABYTE
    with run(*SITE) as service:
        drop(service.tap, percent)
        try:
            got = fetched(tmp_path / "got", f"http://{HOST}:8080/octets/{size}")
            assert got == octets(size)
            said = fetched(tmp_path / "said", "--upload-file", str(tmp_path / "got"), f"http://{HOST}:8080/")
            assert said.decode() == hashlib.sha256(got).hexdigest()
        finally:
            program("nft", "delete table netdev lossy")
        settled(service)


def test_the_kernel_finds_time_stamps_and_scaling_agreed_on(run: Run) -> None:
    """What `ss` says of the kernel's end of a connection to the service."""
    with run(*SERVICES), subprocess.Popen(["nc", HOST, "9"], stdin=subprocess.PIPE) as peer:
        try:
            said = ""
            for _ in range(100):
                said = program("ss", "-tinH", "dst", HOST)
                if "wscale" in said:
                    break
                subprocess.run(["sleep", "0.05"], check=True)
            assert f"wscale:{shift_for(Config().receive_window)}," in said
            assert "mss:1448" in said  # of 1460, 12 for time stamps
            assert PEER in said
        finally:
            peer.kill()


def test_sockets_lists_a_transfer_in_progress_like_ss(run: Run) -> None:
    """A slow reader: the connection stands with octets of ours that are not acknowledged, or not sent."""
    slowly = [
        "curl",
        "--silent",
        "--limit-rate",
        "200k",
        "--output",
        "/dev/null",
        f"http://{HOST}:8080/octets/20000000",
    ]
    with run(*BOTH, *SITE, "--service", "udp-echo:7", "--service", "http:80") as service:
        with subprocess.Popen(slowly) as curl:
            try:

                def transfer() -> dict[str, Any] | None:
                    found = json.loads(service.ask("/api/v1/sockets")[1])
                    assert found["left_out"] == 0
                    lines = [one for one in found["listed"] if one["state"] == "established" and one["send_queue"]]
                    return lines[0] if lines else None

                one = wait_until(transfer, "octets wait for the reader")
                assert one["protocol"] == "tcp"
                assert one["local"] == f"{HOST}:8080"
                assert one["peer"].startswith(f"{PEER}:")
                assert one["details"]["congestion"] == "cubic"
                assert one["details"]["cwnd"] >= one["details"]["mss"] == 1448
                assert 0 < one["details"]["rtt"] < one["details"]["rto"]
                tcp = service.stats()["tcp"]
                assert tcp["connections"]["established"] == 1
                assert tcp["memory_bytes"] > 1_000_000
                kernels = program("ss", "-tnH", "dst", f"{HOST}:8080").split()
                assert (kernels[4], kernels[3]) == (one["local"], one["peer"])

                said = asyncnic("sockets", "--control", service.control)
                assert said.returncode == 0, said.stderr
                heading, *lines = said.stdout.splitlines()
                assert heading.split() == [
                    "Netid",
                    "State",
                    "Recv-Q",
                    "Send-Q",
                    "Local",
                    "Address:Port",
                    "Peer",
                    "Address:Port",
                ]
                first = [line.split() for line in lines if not line.startswith(" ")]
                assert [row[:2] + row[4:] for row in first] == [
                    ["udp", "unconnected", "0.0.0.0:7", "*"],
                    ["udp", "unconnected", "[::]:7", "*"],
                    ["tcp", "listen", "0.0.0.0:8080", "*"],
                    ["tcp", "listen", "[::]:8080", "*"],
                    ["tcp", "listen", "0.0.0.0:80", "*"],
                    ["tcp", "listen", "[::]:80", "*"],
                    ["tcp", "established", one["local"], one["peer"]],
                ]
                assert re.search(r"^ +congestion:cubic mss:1448 cwnd:\d+ .* rtt:[0-9.]+ms", lines[-1])
            finally:
                curl.kill()
        settled(service)


def test_sockets_of_two_workers_are_listed_together(run: Run) -> None:
    with run("--workers", "2", *SERVICES) as service:
        once = [("tcp", "listen", f"0.0.0.0:{port}") for port in (7, 9, 80)]

        def places() -> list[tuple[str, str, str]]:
            found = json.loads(service.ask("/api/v1/sockets")[1])["listed"]
            return [(one["protocol"], one["state"], one["local"]) for one in found]

        wait_until(lambda: places() == once + once, "each worker has said what it listens to")
        with subprocess.Popen(["nc", HOST, "9"], stdin=subprocess.PIPE) as peer:
            try:
                wait_until(lambda: service.stats()["tcp"]["connections"].get("established") == 1, "one of them has it")
            finally:
                peer.kill()


def refusals(service: Service) -> dict[str, int]:
    """What TCP refused, by the limit that was reached; those that were not are left out."""
    events = service.stats()["stack_events"]
    told = {name.removeprefix("tcp_refused_"): count for name, count in events.items() if "tcp_refused_" in name}
    return {reason: count for reason, count in told.items() if count}


@pytest.mark.parametrize(
    ("limit", "reason"), [("--tcp-connections", "connections"), ("--tcp-connections-per-source", "source")]
)
def test_a_connection_beyond_a_limit_gets_no_answer_and_is_counted(run: Run, limit: str, reason: str) -> None:
    with run(*SERVICES, limit, "2") as service:
        holders = [subprocess.Popen(["nc", HOST, "9"], stdin=subprocess.PIPE) for _ in range(2)]
        try:
            wait_until(lambda: service.stats()["stack_events"]["tcp_opened_passive"] == 2, "both are taken")
            assert refusals(service) == {}
            program("nc", "-z", "-w", "1", HOST, "9", codes=(1,))
            assert list(refusals(service)) == [reason]
        finally:
            for holder in holders:
                holder.kill()
                holder.communicate()
        program("nc", "-z", "-w", "5", HOST, "9")  # there is room again
        settled(service)


def test_a_transfer_that_costs_more_than_all_may_is_reset_and_counted(run: Run, tmp_path: Path) -> None:
    with run(*SITE, "--tcp-memory", "2000000") as service:
        assert fetched(tmp_path / "got", f"http://{HOST}:8080/octets/500000") == octets(500_000)
        url = f"http://{HOST}:8080/octets/20000000"
        program("curl", "--silent", "--output", "/dev/null", url, codes=(56,))
        assert refusals(service) == {"memory": 1}
        assert fetched(tmp_path / "again", f"http://{HOST}:8080/octets/500000") == octets(500_000)
        settled(service)
