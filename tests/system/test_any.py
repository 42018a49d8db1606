"""--any: one process is every host of a prefix, for programs that look for hosts; and two addresses, each by itself.

Its examples, snmp.py and honeypot.py, are run here.
"""

import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT
from tests.system.service import HOST, MAC, Run, Service, asyncnic, program, running, wait_until

EXAMPLES = ROOT / "deploy/examples"
PREFIX, PREFIX6 = "198.51.0.0/16", "2001:db8:51::/48"
STATION = ("--address", f"{HOST}/24", "--address", "2001:db8::2/64")
ANY = (*STATION, "--address", PREFIX, "--address", PREFIX6, "--any")
MEMORY = {"PYTHONPATH": str(EXAMPLES)}
SLACK = 8_000_000
"""Octets by which the resident memory of a service may differ for other reasons."""


def route_to_it(tap: str) -> None:
    program("ip", "route", "add", PREFIX, "via", HOST)
    program("ip", "addr", "add", "2001:db8::1/64", "dev", tap, "nodad")
    program("ip", "-6", "route", "add", PREFIX6, "via", "2001:db8::2")


def resident(service: Service) -> int:
    (pages,) = re.findall(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{service.process.pid}/status").read_text(), re.MULTILINE)
    return int(pages) * 1024


def test_nmap_finds_all_4096_hosts_of_a_20_in_flat_memory(run: Run, tap_name: str) -> None:
    with run(*ANY) as service:
        route_to_it(tap_name)
        program("ping", "-n", "-c", "1", "-W", "5", "198.51.255.255")
        before = resident(service)
        found = subprocess.run(
            ["nmap", "-sn", "-n", "-PE", "-T5", "--max-retries", "3", "--min-rate", "500", "198.51.16.0/20"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        after = resident(service)
        print(found.splitlines()[-1], f"resident: {before} -> {after} octets")
        assert "4096 IP addresses (4096 hosts up)" in found
        assert after < before + SLACK
        program("ping", "-6", "-n", "-c", "1", "-W", "5", "2001:db8:51:ffff::1:2")
        stats = service.settled()
        assert stats["stack"]["icmp"]["echo_request"] >= 4096
        assert stats["addresses"][PREFIX] == stats["addresses"][PREFIX6] == "preferred"


@pytest.mark.heavy
def test_snmpget_gets_from_1000_hosts_answers_of_their_own(tmp_path: Path) -> None:
    with running("exsnmp", tmp_path / "log", *ANY, "--service", "snmp:Agent:161", env=MEMORY) as service:
        route_to_it("exsnmp")
        hosts = [f"198.51.{number // 250}.{number % 250}" for number in range(1000)]

        def name_of(host: str) -> str:
            command = ("snmpget", "-v2c", "-cpublic", "-Oqv", "-t5", "-r3", host, "1.3.6.1.2.1.1.5.0")
            return program(*command).strip().strip('"')

        with ThreadPoolExecutor(4) as pool:
            names = list(pool.map(name_of, hosts))
        assert names == ["device-" + host.replace(".", "-") for host in hosts]
        print(f"resident: {resident(service)} octets")
        stats = service.settled()
        assert stats["stack"]["udp"]["delivered"] >= 1000


def test_the_agent_answers_over_both_families_and_nothing_else(tmp_path: Path) -> None:
    with running("exsnmp", tmp_path / "log", *ANY, "--service", "snmp:Agent:161", env=MEMORY):
        route_to_it("exsnmp")
        device = "udp6:[2001:db8:51::9]"
        get = ("snmpget", "-v2c", "-Oqv", "-t2", "-r2")
        assert "device-2001-db8-51--9" in program(*get, "-cpublic", device, "1.3.6.1.2.1.1.5.0")
        assert "No Such Object" in program(*get, "-cpublic", device, "1.3.6.1.2.1.1.9.0")
        refused = subprocess.run(
            [*get[:-2], "-t0.2", "-r0", "-cprivate", device, "1.3.6.1.2.1.1.5.0"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Timeout" in refused.stderr
        program("nc", "-u", "-w1", "198.51.0.7", "161", input="no SNMP at all")
        assert "device-198-51-0-7" in program(*get, "-cpublic", "198.51.0.7", "1.3.6.1.2.1.1.5.0")


def test_the_honeypot_knows_which_of_its_hosts_was_visited(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    def heard(host: str) -> bool:
        said.append(capfd.readouterr().out)
        return f'"{host}", 23' in "".join(said)

    with running("exhoney", tmp_path / "log", *ANY, "--service", "tcp:honeypot:trap:23", env=MEMORY) as service:
        route_to_it("exhoney")
        for host in ("198.51.7.1", "198.51.200.9", "2001:db8:51::17"):
            greeting = program("nc", "-w", "3", host, "23", input="root\n")
            assert f"{host} login: " in greeting
            wait_until(partial(heard, host), "a line about the visit")
        service.settled()
    assert "".join(said).count('"said": "root\\n"') == 3


@pytest.mark.parametrize("family", ["4", "6"])
def test_on_the_link_hosts_answer_but_for_those_that_are_there(run: Run, tap_name: str, family: str) -> None:
    """The kernel's own address is in the prefix, and another host's: neither is claimed."""
    prefix, kernel, ours = {
        "4": ("203.0.113.0/24", "203.0.113.1/24", "203.0.113.77"),
        "6": ("2001:db8:113::/64", "2001:db8:113::1/64", "2001:db8:113::77"),
    }[family]
    with run("--address", prefix, "--any", "--host-address", "") as service:
        program("ip", "addr", "add", kernel, "dev", tap_name, *(["nodad"] if family == "6" else []))
        program("ping", "-n", "-c", "3", "-W", "4", ours)
        if family == "4":
            probe = ("arping", "-0", "-I", tap_name, "-c", "2", "-w", "2", "203.0.113.78")
            assert " 0 packets received" in program(*probe, codes=(0, 1))  # who is about to use it gets it
        events = service.stats()["stack_events"]
        assert events["hosts_of_others"] >= 1
        assert events["hosts_probed"] >= 2
        assert events["duplicate_addresses"] == 0
        service.settled()


def test_passive_hosts_do_not_answer_on_the_link(run: Run, tap_name: str) -> None:
    with run("--address", "203.0.113.0/24", "--any", "--any-passive", "--host-address", "203.0.113.1/24") as service:
        program("ping", "-n", "-c", "1", "-W", "2", "203.0.113.77", codes=(1,))
        program("ip", "neigh", "replace", "203.0.113.77", "lladdr", MAC, "dev", tap_name)  # as a router's route has it
        program("ping", "-n", "-c", "1", "-W", "4", "203.0.113.77")
        assert service.stats()["stack_events"]["hosts_probed"] == 0


def test_dig_gets_its_answer_from_each_of_two_addresses(tmp_path: Path) -> None:
    both = ("--address", f"{HOST}/24", "--address", "192.0.2.3/24", "--service", "dns:Responder:53")
    with running("exdns", tmp_path / "log", *both, env=MEMORY):
        for address in (HOST, "192.0.2.3"):
            answer = program("dig", f"@{address}", "+time=2", "+tries=1", "nic.example")
            assert "status: NOERROR" in answer
            assert f"SERVER: {address}#53" in answer


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--address", "198.51.100.0/24"), "--address 198.51.100.0/24: must be the address of a host"),
        (("--any",), "--any: needs an --address that is a prefix"),
        (("--any", "--address", "192.0.2.2/24"), "--any: needs an --address that is a prefix"),
        (
            ("--any", "--device", "packet:eth0"),
            "--any: packet:eth0 has the interface's own addresses: give it prefixes",
        ),
        (("--any", "--stack", "sink", "--address", "198.51.100.0/24"), "--any: needs --stack inet"),
        (("--any", "--workers", "2", "--address", "198.51.100.0/24"), "--any: needs --workers 1, or --any-passive"),
        (("--any", "--address", "224.0.0.0/8"), "--address 224.0.0.0/8: must be the address of a host"),
        (("--any-passive",), "--any-passive: needs --any"),
        (("--any", "--any-hosts", "0", "--address", "198.51.100.0/24"), "--any-hosts 0: must be a whole number"),
    ],
)
def test_prefixes_where_they_cannot_be_are_refused(flags: Sequence[str], error: str) -> None:
    refused = asyncnic("run", *flags)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"asyncnic: {error}"), refused.stderr
    assert refused.stderr.count("\n") == 1
