"""TCP on an interface that has an address already, and what goes to somebody whom only the kernel knows the way to."""

import hashlib
from pathlib import Path

import pytest

from tests.system.service import wait_until
from tests.system.tcp_site import octets
from tests.system.test_packet import HERE, HERE6, Neighbour, Start, neighbour, settled, start

__all__ = ["neighbour", "start"]

SIZE = 1_000_000
SITE = ("--service", "tcp:tests.system.tcp_site:site:8080")


def curl(neighbour: Neighbour, *command: str) -> str:
    return neighbour.run("curl", "-sSf", "--noproxy", "*", "--max-time", "30", *command)


@pytest.mark.parametrize("host", [HERE, f"[{HERE6}]"])
def test_curl_gets_the_page_of_where_every_frame_went(neighbour: Neighbour, start: Start, host: str) -> None:
    with start("--service", "http:80") as service:
        assert "delivered" in curl(neighbour, f"http://{host}/")
        stats = settled(service)
        assert stats["stack"]["tcp"]["delivered"] > 0


@pytest.mark.parametrize("flooded", [False, True])
def test_octets_go_both_ways_and_the_kernel_resets_nothing(
    neighbour: Neighbour, start: Start, tmp_path: Path, flooded: bool
) -> None:
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(octets(SIZE))
    lanes = ("--lane", "control=tcp", "--service", "udp-discard:9")
    with start(*SITE, *lanes) as service:
        flood = neighbour.flood(3.0, 9) if flooded else None
        if flood is not None:
            wait_until(lambda: service.stats()["offered"] > 1000, "the flood")
        curl(neighbour, "--output", str(got), f"http://{HERE}:8080/octets/{SIZE}")
        assert got.read_bytes() == octets(SIZE)
        said = curl(neighbour, "--upload-file", str(sent), f"http://{HERE}:8080/")
        assert said == hashlib.sha256(octets(SIZE)).hexdigest()
        if flood is not None:
            flood.communicate(timeout=30)
        found = settled(service)
        assert found["lanes"]["control"]["dropped"] == dict.fromkeys(found["dropped"], 0)


def test_a_port_that_nobody_serves_is_refused_by_the_kernel(neighbour: Neighbour, start: Start) -> None:
    with start(*SITE):
        assert not neighbour.succeeds("nc", "-z", "-w", "2", HERE, "8081")
        assert neighbour.succeeds("nc", "-z", "-w", "5", HERE, "8080")


def test_whoever_has_never_said_anything_is_reached_by_the_kernels_routes(neighbour: Neighbour, start: Start) -> None:
    listening = (
        "import socket\n"
        "for family, port in ((socket.AF_INET, '{}'), (socket.AF_INET6, '{}')):\n"
        "    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(10)\n"
        "    s.bind(('::' if family == socket.AF_INET6 else '0.0.0.0', 9999))\n"
        "    data, whom = s.recvfrom(99); s.sendto(b'yes', whom[:2]); print(data.decode(), *whom[:2]); s.close()\n"
    )
    with start("--service", "tests.system.caller:Caller:4000") as service:
        said = neighbour.run("python3", "-c", listening.format(HERE, HERE6)).splitlines()
        assert said == [f"knock {HERE} 4000", f"knock {HERE6} 4000"]
        wait_until(lambda: service.stats()["stack"]["udp"]["delivered"] == 2, "both answers")
