"""--sequence-gaps beside real exporters: what the way loses is missing, to the number, and what we lose is ours."""

import itertools
import json
import re
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stacks.inet import exporting as make
from tests.stacks.inet.wire import ipv4, udp
from tests.system.service import HOST, Run, Service, asyncnic, program, wait_until, wire_counters

PORT = 2055
FLOWS = 3000
FLAGS = ("--service", f"udp-discard:{PORT}", "--sequence-gaps", str(PORT))
VERSIONS = {"5": "netflow5", "9": "netflow9", "10": "ipfix"}


def exports(version: str, folder: Path) -> list[bytes]:
    """What softflowd exports of a capture of FLOWS flows: its datagrams, in order."""
    capture = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number in range(FLOWS):
        frame = ipv4(17, udp(b"flow", 1024 + number, 53, "198.51.100.1", "203.0.113.1"), "198.51.100.1", "203.0.113.1")
        capture += struct.pack("=IIII", 1_700_000_000, number, len(frame), len(frame)) + frame
    (folder / "flows.pcap").write_bytes(capture)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(0.0)
        target = f"127.0.0.1:{sink.getsockname()[1]}"
        places = ("-p", str(folder / "pid"), "-c", "none")
        program("softflowd", "-d", "-r", str(folder / "flows.pcap"), "-n", target, "-v", version, *places)
        found = []
        try:
            while True:
                found.append(sink.recv(2048))
        except BlockingIOError:
            return found


@contextmanager
def exporter() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        program("ping", "-n", "-c", "1", "-W", "10", HOST)  # the kernel knows the way: while it asks, it drops
        out.connect((HOST, PORT))
        yield out


def counted(service: Service, protocol: str) -> dict[str, int]:
    start = f"numbers_{protocol}_"
    events = service.stats()["stack_events"]
    return {name.removeprefix(start): count for name, count in events.items() if name.startswith(start)}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_way_loses_of_a_real_exporter_is_missing_to_the_number(run: Run, tmp_path: Path, version: str) -> None:
    protocol = VERSIONS[version]
    told = exports(version, tmp_path)
    numbers = [struct.unpack_from("!I", data, {"5": 16, "9": 12, "10": 8}[version])[0] for data in told]
    steps = [after - number for number, after in itertools.pairwise(numbers)]
    # Of a datagram how many numbers it has: from its own to the next one's, but softflowd's IPFIX counts itself.
    sizes = [0, *steps] if version == "10" else steps
    # Nor does that count records of options, which come behind templates: what is beside them is not lost here.
    lost = [at for at in range(1, len(told) - 1) if at % 7 == 3 and told[at + 1][16:18] != b"\0\2"]
    assert len(lost) > 5
    with run(*FLAGS) as service, exporter() as out:
        for at, data in enumerate(told):
            if at not in lost:
                out.send(data)
        stats = service.settled()
        assert stats["dropped"] == dict.fromkeys(("kernel", "card", "driver", "queue"), 0)
        seen = counted(service, protocol)
        assert (seen["missing"], seen["late"], seen["duplicate"]) == (sum(sizes[at] for at in lost), 0, 0)
        assert seen["received"] >= sum(size for at, size in enumerate(sizes) if at not in lost) > 0
        status, body = service.ask("/api/v1/exporters")
        (row,) = json.loads(body)
        assert status == 200
        assert (row["protocol"], row["missing"], row["restarts"]) == (protocol, seen["missing"], 0)
        shown = rf'asyncnic_sequence_numbers_total{{device=".*",outcome="missing",protocol="{protocol}"}} (\S+)'
        found = re.search(shown, service.ask("/metrics")[1])
        assert found is not None
        assert float(found[1]) == seen["missing"]


def test_what_we_drop_is_missing_too_and_the_ledger_says_how_much_of_it_is_ours(run: Run, tap_name: str) -> None:
    before_us, offered = 50, 2000
    with run(*FLAGS, "--tap-queue", "100") as service, exporter() as out:
        out.send(make.sflow(0))
        service.settled()
        service.process.send_signal(signal.SIGSTOP)
        for number in range(1, offered):
            if number % 40:
                out.send(make.sflow(number))
        wait_until(lambda: wire_counters(tap_name)[1] > 1000, "the kernel dropped")
        service.process.send_signal(signal.SIGCONT)
        service.settled()
        out.send(make.sflow(offered))
        ours = service.settled()["dropped"]["kernel"]
        seen = counted(service, "sflow")
        assert seen["missing"] - seen["late"] == ours + before_us - 1  # the number 0 was sent
        assert seen["received"] == offered + 1 - seen["missing"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_with_several_workers_the_numbers_are_summed(run: Run, workers: str) -> None:
    with run(*FLAGS, "--workers", workers) as service, exporter() as out:
        for number in (0, 1, 5):
            out.send(make.netflow9(number))
        service.settled()
        assert counted(service, "netflow9") == {"received": 3, "missing": 3, "late": 0, "duplicate": 0}
        status, body = service.ask("/api/v1/exporters")
        assert (status, "its own exporters" in body) == ((200, False) if workers == "1" else (404, True))


def test_without_it_nobody_looks_and_it_is_said(run: Run) -> None:
    with run("--service", f"udp-discard:{PORT}") as service:
        status, body = service.ask("/api/v1/exporters")
        assert (status, "start with --sequence-gaps" in body) == (404, True)
        assert not [name for name in service.stats()["stack_events"] if name.startswith(("numbers_", "exporter_"))]


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--sequence-gaps", "0"), "--sequence-gaps 0: must "),
        (("--sequence-gaps", "2056"), "--sequence-gaps 2056: port 2056 has no --service of datagrams"),
        (("--service", "tcp-echo:2056", "--sequence-gaps", "2056"), "--sequence-gaps 2056: port 2056 has no --service"),
    ],
)
def test_a_port_that_cannot_be_is_refused(flags: tuple[str, ...], error: str) -> None:
    refused = asyncnic("run", *flags)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"asyncnic: {error}"), refused.stderr
    assert refused.stderr.count("\n") == 1
