"""`asyncnic announce` beside a real service, with a real ExaBGP and a real BIRD: what is ready has a route."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT
from tests.system.service import ASYNCNIC, HOST, Run, Service, asyncnic, environment, program, wait_until

EXABGP = str(Path(sys.executable).parent / "exabgp")
ANYCAST = ROOT / "deploy" / "anycast"
SERVED = "198.51.100.1/32"
ROUTER, NODE = "203.0.113.1", "203.0.113.2"


def drain(service: Service) -> None:
    service.process.send_signal(signal.SIGTERM)


def freeze(service: Service) -> None:
    service.process.send_signal(signal.SIGSTOP)


def kill(service: Service) -> None:
    service.process.kill()
    service.process.wait()


@contextmanager
def announcing(service: Service, *flags: str) -> Iterator[list[str]]:
    """The command as ExaBGP has it; the lines that it has said so far are in the list."""
    command = [ASYNCNIC, "announce", "--control", service.control, "--route", SERVED, "--interval", "50ms", *flags]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), bufsize=0)
    assert child.stdin is not None
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    said: list[str] = []

    class Lines(list[str]):
        def __contains__(self, line: object) -> bool:
            said.append((child.stdout.read() or b"").decode() if child.stdout else "")
            child.stdin.write(b"done\n") if child.stdin else None
            return f"{line}\n" in "".join(said)

    try:
        yield Lines()
        child.stdin.close()  # ExaBGP has ended
        assert child.wait(15) == 0
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


@pytest.mark.parametrize("end", [drain, freeze, kill])
def test_what_is_not_ready_is_withdrawn(run: Run, end: object) -> None:
    assert callable(end)
    with run("--drain", "60s") as service, announcing(service, "--next-hop", "192.0.2.11") as said:
        wait_until(lambda: f"announce route {SERVED} next-hop 192.0.2.11 med 100" in said, "it is announced")
        end(service)
        wait_until(lambda: f"withdraw route {SERVED} next-hop 192.0.2.11" in said, "it is withdrawn")
        service.kill()


def test_its_own_addresses_are_announced_where_no_route_is_named(run: Run) -> None:
    with run() as service:
        command = [ASYNCNIC, "announce", "--control", service.control]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment(), capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (0, f"announce route {HOST}/32 next-hop self med 100\n")


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--route", "198.51.100.0/33"), "--route 198.51.100.0/33: must be an address or a prefix"),
        (("--interval", "1"), "--interval 1: must be a time"),
    ],
)
def test_what_cannot_be_is_refused(flags: tuple[str, str], error: str) -> None:
    refused = asyncnic("announce", *flags)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"asyncnic: {error}")
    assert refused.stderr.count("\n") == 1


def test_the_configurations_are_read_by_their_programs(tmp_path: Path) -> None:
    assert subprocess.run(["bird", "-p", "-c", ANYCAST / "bird.conf"], capture_output=True, check=False).returncode == 0
    here = tmp_path / "exabgp.conf"  # it looks for the program, which is where it was installed
    here.write_text((ANYCAST / "exabgp.conf").read_text().replace("/opt/asyncnic/bin/asyncnic", ASYNCNIC))
    read = subprocess.run([EXABGP, "validate", "-n", here], capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stdout + read.stderr
    told = [line.split() for line in (ANYCAST / "exabgp.conf").read_text().splitlines() if " announce " in line]
    (line,) = told
    offered = asyncnic("announce", "--help").stdout
    assert all(word in offered for word in line if word.startswith("--"))


@contextmanager
def running_beside(command: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator[None]:
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out, env=environment(env))
        try:
            yield
        except BaseException:
            print(log.read_text())
            raise
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def test_the_router_has_a_route_while_the_service_is_ready(run: Run, tmp_path: Path) -> None:
    for address in (ROUTER, NODE):
        program("ip", "addr", "add", f"{address}/32", "dev", "lo")
    bird, exabgp, control = tmp_path / "bird.conf", tmp_path / "exabgp.conf", str(tmp_path / "bird.ctl")
    bird.write_text(
        textwrap.dedent(f"""
            router id {ROUTER};
            protocol device {{ }}
            protocol bgp node {{
                local {ROUTER} as 65000;
                neighbor {NODE} as 65010;
                multihop;
                hold time 9;
                ipv4 {{ import all; export none; }};
            }}
        """)
    )

    def routes() -> str:
        return program("birdc", "-s", control, "show", "route", "all", "for", SERVED, codes=(0, 1))

    with run("--drain", "60s") as service:
        exabgp.write_text(
            textwrap.dedent(f"""
                process asyncnic {{
                    run {ASYNCNIC} announce --control {service.control} --route {SERVED} --next-hop {NODE};
                    encoder text;
                }}
                neighbor {ROUTER} {{
                    router-id {NODE};
                    local-address {NODE};
                    local-as 65010;
                    peer-as 65000;
                    hold-time 9;
                    family {{ ipv4 unicast; }}
                    api {{ processes [ asyncnic ]; }}
                }}
            """)
        )
        calm = {"exabgp.daemon.drop": "false", "exabgp.daemon.user": "root", "exabgp.api.cli": "false"}
        with (
            running_beside(["bird", "-f", "-c", str(bird), "-s", control, "-P", str(tmp_path / "pid")], tmp_path / "b"),
            running_beside([EXABGP, "server", str(exabgp)], tmp_path / "e", calm),
        ):
            wait_until(lambda: "BGP.med: 100" in routes(), "a route", 40)
            drain(service)
            wait_until(lambda: "Network not found" in routes() or SERVED not in routes(), "no route", 20)
            assert service.ask("/-/ready") == (503, "asyncnic is not ready: draining.\n")
            assert json.loads(service.ask("/api/v1/stats")[1])["draining"] is True
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0
