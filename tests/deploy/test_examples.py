"""The examples do what they say: run as their first lines say, with real programs on the other side."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT
from tests.sinks.brokers import SUBJECT, NatsServer
from tests.system.service import HOST, PEER, program, running, wait_until

EXAMPLES = ROOT / "deploy/examples"


@contextmanager
def example(name: str, *arguments: str) -> Iterator[None]:
    """Run an example until the context is left; it has said that it is ready."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ready\n"
            yield
        finally:
            child.kill()


def test_every_example_is_tested_and_named() -> None:
    text = Path(__file__).read_text() + (ROOT / "tests/system/test_any.py").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert path.name in text or f'"{path.stem}:' in text, path.name


def test_the_ping_responder_answers_pings_with_zeros_too() -> None:
    with example("ping.py", "tap:exping", HOST, f"{PEER}/24"):
        program("ping", "-c", "3", "-i", "0.05", "-W", "2", HOST)
        program("ping", "-c", "3", "-i", "0.05", "-W", "2", "-p", "00", HOST)


@pytest.mark.parametrize(("name", "flag"), [("nic.example", "NOERROR"), ("other.example", "NXDOMAIN")])
def test_the_dns_responder_answers_dig(name: str, flag: str, tmp_path: Path) -> None:
    flags = ("--service", "dns:Responder:53")
    with running("exdns", tmp_path / "log", *flags, env={"PYTHONPATH": str(EXAMPLES)}):
        answer = program("dig", f"@{HOST}", "+time=2", "+tries=1", name)
    assert f"status: {flag}" in answer
    assert (HOST in answer.partition("ANSWER SECTION")[2]) == (flag == "NOERROR")


def test_the_collector_takes_datagrams(tmp_path: Path) -> None:
    flags = ("--service", "collector:Collector:514")
    with running("excollect", tmp_path / "log", *flags, env={"PYTHONPATH": str(EXAMPLES)}) as service:
        for _ in range(3):
            program("nc", "-u", "-w1", HOST, "514", input="<13>hello\n")
        wait_until(lambda: service.stats()["stack"]["udp"]["delivered"] == 3, "three datagrams")


def test_the_consumer_reads_what_a_sink_has_published(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    try:
        server.start()
        command = [sys.executable, str(EXAMPLES / "consumer.py"), f"nats://127.0.0.1:{server.port}", SUBJECT]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
                with running("exconsume", tmp_path / "log", "--service", server.service):
                    program("nc", "-u", "-w1", HOST, "514", input="<13>hello")
                    _, source, data = child.stdout.readline().split()
                    assert source.startswith(f"{PEER}:")
                    assert data == "b'<13>hello'"
            finally:
                child.kill()
    finally:
        server.kill()


def test_the_bridge_joins_two_networks(tmp_path: Path) -> None:
    """A neighbour behind the second NIC: a TAP's host side moved into a namespace of its own."""
    with example("bridge.py", "tap:exleft", "tap:exright"):
        there = subprocess.Popen(["unshare", "--net", "sleep", "60"])
        try:
            own = f"/proc/{os.getpid()}/ns/net"
            wait_until(lambda: os.readlink(f"/proc/{there.pid}/ns/net") != os.readlink(own), "a namespace")
            program("ip", "link", "add", "exveth0", "type", "veth", "peer", "name", "exveth1", "netns", str(there.pid))
            program("ip", "link", "add", "exbridge", "type", "bridge")
            for port in ("exveth0", "exright"):
                program("ip", "link", "set", port, "master", "exbridge", "up")
            program("ip", "link", "set", "exbridge", "up")
            inside = ("nsenter", "-t", str(there.pid), "-n")
            program(*inside, "ip", "address", "add", "203.0.113.2/24", "dev", "exveth1")
            program(*inside, "ip", "link", "set", "exveth1", "up")
            program("ip", "address", "add", "203.0.113.1/24", "dev", "exleft")
            program("ip", "link", "set", "exleft", "up")
            program("ping", "-c", "3", "-i", "0.1", "-w", "5", "203.0.113.2")
        finally:
            there.kill()
            there.wait()
            program("ip", "link", "del", "exbridge")
