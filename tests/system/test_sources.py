"""--source-limit on a real TAP: a flood from one source costs no other source anything, and every frame is counted."""

import json
import socket

import pytest

from tests.system.service import HOST, PEER, Run, asyncnic, program

OTHER = "192.0.2.77"
SENT = 1000
FLOOD = 60
"""Datagrams of the flood for one of the other source's."""


def client(address: str, port: int) -> socket.socket:
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.bind((address, 5000))
    out.connect((HOST, port))
    out.settimeout(10)
    return out


@pytest.mark.parametrize(("delivery", "workers"), [("direct", "1"), ("queue", "1"), ("direct", "2")])
def test_a_flood_from_one_source_leaves_the_other_sources_datagrams_alone(
    run: Run, tap_name: str, delivery: str, workers: str
) -> None:
    services = ("--service", "udp-discard:9", "--service", "udp-echo:7")
    with run("--source-limit", "10000/s", *services, "--delivery", delivery, "--workers", workers) as service:
        program("ip", "addr", "add", f"{OTHER}/32", "dev", tap_name)
        with client(PEER, 9) as flood, client(OTHER, 7) as other:
            for number in range(SENT):
                for _ in range(FLOOD):
                    flood.send(b"flood")
                other.send(b"%d" % number)  # its echo says that all before it were taken: the wire's queue loses none
                assert other.recv(100) == b"%d" % number
        stats = service.settled()
        limited = stats["dropped_by_reason"]["driver"]["source_limit"]
        assert limited > 0
        assert stats["dropped"] == {"kernel": 0, "card": 0, "driver": limited, "queue": 0}
        seen = {name: {key: n for key, n in found.items() if n} for name, found in stats["stack"].items()}
        assert stats["stack"]["udp"]["delivered"] == (1 + FLOOD) * SENT - limited, (stats["offered"], limited, seen)
        status, body = service.ask("/api/v1/sources")
        if workers == "1":
            shown = {one["source"]: one for one in json.loads(body)}
            assert shown[PEER]["dropped"] == limited
            assert max(shown, key=lambda source: float(shown[source]["share"])) == PEER
            assert shown.get(OTHER, {"dropped": 0})["dropped"] == 0
        else:
            assert (status, body) == (404, "each worker counts its own sources: they are shown with --workers 1\n")


def test_without_a_limit_nobody_looks_and_it_is_said(run: Run) -> None:
    with run("--service", "udp-echo:7") as service:
        status, body = service.ask("/api/v1/sources")
        assert status == 404
        assert "start with --source-limit" in body


@pytest.mark.parametrize("limit", ["10000", "0/s", "1/s,/40"])
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    refused = asyncnic("run", "--source-limit", limit)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"asyncnic: --source-limit {limit}: must ")
    assert refused.stderr.count("\n") == 1
