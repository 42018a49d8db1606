"""traceroute and nmap: programs that look for what is not there."""

import re

from tests.system.service import HOST, HOST6, Run, add_ipv6, program

BOTH = ("--address", f"{HOST}/24", "--address", f"{HOST6}/64")


def test_traceroute_ends_at_the_host(run: Run) -> None:
    with run(*BOTH) as service:
        add_ipv6(service.tap)
        for options, address in (("-4", HOST), ("-6", HOST6), ("-I4", HOST), ("-I6", HOST6)):
            said = program("traceroute", options, "-n", "-q", "1", "-w", "2", "-m", "5", address)
            assert re.search(rf"^ 1  {address}  [\d.]+ ms", said, re.MULTILINE), said


def test_nmap_finds_open_and_closed_udp_ports(run: Run) -> None:
    with run("--service", "udp-echo:7", "--service", "udp-discard:9"):
        said = program("nmap", "-sU", "-p", "7,9,12345", "-Pn", "-n", "--max-retries", "2", HOST)
        states = dict(re.findall(r"^(\d+)/udp +(\S+)", said, re.MULTILINE))
        assert states == {"7": "open", "9": "open|filtered", "12345": "closed"}


def test_nmap_finds_open_and_closed_udp_ports_over_ipv6(run: Run) -> None:
    with run(*BOTH, "--service", "udp-echo:7") as service:
        add_ipv6(service.tap)
        said = program("nmap", "-6", "-sU", "-p", "7,12345", "-Pn", "-n", "--max-retries", "2", HOST6)
        states = dict(re.findall(r"^(\d+)/udp +(\S+)", said, re.MULTILINE))
        assert states == {"7": "open", "12345": "closed"}


def test_nmap_scans_of_tcp_ports_end(run: Run) -> None:
    with run() as service:
        for scan in ("-sS", "-sT", "-sO"):
            said = program("nmap", scan, "-p", "6,7,17", "-Pn", "-n", "--max-retries", "1", HOST)
            assert "1 IP address (1 host up) scanned" in said
        program("ping", "-n", "-c", "1", "-W", "5", HOST)
        assert service.settled()["stack"]["tcp"]["no_listener"] > 0
