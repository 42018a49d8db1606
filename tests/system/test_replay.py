"""Captures in and out: tcpreplay offers one to the service, and tshark reads what `asyncnic capture` wrote."""

import random
import re
import subprocess
from pathlib import Path

import pytest

from asyncnic import pcapng
from tests.stacks.inet import wire as frames
from tests.system.service import ASYNCNIC, HOST, MAC, PATIENCE, Run, add_ipv6, environment, program, running, wait_until
from tests.wire import Wire

BOTH = ("--address", f"{HOST}/24", "--address", f"{frames.HOST6}/64")
TAG = b"\x81\x00\x00\x07"


def tagged(frame: bytes) -> bytes:
    """`frame` with an 802.1Q tag."""
    return frame[:12] + TAG + frame[12:]


SAMPLES = (
    frames.arp(1, frames.PEER, frames.HOST),
    frames.ipv4(1, frames.echo4(b"x" * 56)),
    frames.udp4(b"hello"),
    frames.udp4(b"hello", port=4),
    frames.ipv4(1, frames.echo4(b"y" * 984)[:800], fragment=0x2000),
    frames.solicitation(frames.HOST6),
    frames.ipv6(58, frames.icmp6(128, 0, b"\x12\x34\x00\x01" + b"z" * 56)),
    frames.udp6(b"hello"),
    tagged(frames.udp4(b"hello")),
    tagged(frames.ipv6(58, frames.icmp6(128, 0, b"\x12\x34\x00\x02"))),
    frames.ipv4(6, bytes(20)),
    frames.ethernet(0x0800, b"\xff" * 60),
    frames.ethernet(0x86DD, b"\x60" + b"\xff" * 60),
    frames.ethernet(0x88B5, bytes(1486)),
    frames.MAC + frames.PEER_MAC + b"\x08\x00",
    bytes.fromhex("02aabbccddee") + bytes(54),
    b"\xff" * 60,
)
"""One frame of each kind that a wire has, the damaged ones included; the last but one is for somebody else."""


def write_capture(path: Path, *written: bytes) -> None:
    blocks = [pcapng.packet(number * 1_000_000, frame) for number, frame in enumerate(written)]
    path.write_bytes(pcapng.section_header("tests") + pcapng.interface("wire") + b"".join(blocks))


@pytest.fixture
def wire_name(tap_name: str) -> str:
    """A name of this test's own that does not start with "tap": tcpreplay would make such a device itself."""
    return tap_name.replace("tap", "wire")


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture of SAMPLES, and as much noise again."""
    noise = random.Random(1)
    file = tmp_path / "replay.pcapng"
    write_capture(file, *SAMPLES, *(frames.MAC + noise.randbytes(noise.randrange(8, 1508)) for _ in SAMPLES))
    return file


def replay(tap: str, capture: Path, loops: int) -> int:
    """Offer the capture with tcpreplay as fast as it can; how many frames went."""
    said = program("tcpreplay", "--intf1", tap, "--topspeed", "--loop", str(loops), str(capture))
    sent = 2 * len(SAMPLES) * loops
    assert re.search(rf"Successful packets: +{sent}\n", said), said
    return sent


def test_a_replayed_capture_is_delivered(wire_name: str, tmp_path: Path, capture: Path) -> None:
    with running(wire_name, tmp_path / "log", *BOTH) as service:
        add_ipv6(service.tap)
        sent = replay(service.tap, capture, 20)  # fewer than the TAP's queue holds
        stats = service.settled()
        assert stats["offered"] >= sent
        assert sum(stats["dropped"].values()) == 0
        assert stats["filtered"] >= 20
        assert stats["stack"]["udp"]["delivered"] == 60
        assert stats["stack"]["udp"]["no_listener"] == 20
        assert stats["stack"]["icmp"]["echo_request"] == 20
        # The capture's ARP gave the service another address for the peer: let them meet anew.
        program("ip", "neigh", "flush", "dev", service.tap)
        program("ping", "-n", "-c", "1", "-W", "5", HOST)


def test_what_a_small_ring_misses_of_a_replayed_capture_is_counted(
    wire_name: str, tmp_path: Path, capture: Path
) -> None:
    with running(wire_name, tmp_path / "log", "--overload", "drain", "--rx-ring", "4") as service:
        sent = replay(service.tap, capture, 100)
        stats = service.settled()
        assert stats["offered"] >= sent
        assert stats["dropped"]["card"] > 0


def test_tshark_reads_what_was_captured(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "seen.pcapng"
    seen = [frames.ipv4(1, frames.echo4(b"x" * 56)), frames.udp4(b"hello"), frames.udp6(b"hello")]
    seen += [frames.arp(1, frames.PEER, frames.HOST), tagged(frames.udp4(b"hello"))]
    with run(*BOTH) as service:
        program("sysctl", "-qw", f"net.ipv6.conf.{service.tap}.disable_ipv6=1")
        program("ip", "link", "set", service.tap, "arp", "off")  # the kernel keeps quiet
        command = [ASYNCNIC, "capture", "--control", service.control, "--count", str(len(seen)), str(file)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(), text=True) as process:
            try:
                begun = ".seen.pcapng.*"  # until it is whole
                wait_until(lambda: any(path.stat().st_size for path in tmp_path.glob(begun)), "the capture has begun")
                wire = Wire(service.tap)
                wire.send(*seen)
                wire.close()
                _, said = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
        assert process.returncode == 0
        assert said == f"{len(seen)} frames in {file}\n"
    fields = ("frame.protocols", "frame.len", "eth.dst")
    names = [argument for field in fields for argument in ("-e", field)]
    shown = [line.split("\t") for line in program("tshark", "-r", str(file), "-T", "fields", *names).splitlines()]
    assert sorted(int(length) for _, length, _ in shown) == sorted(map(len, seen))  # lanes overtake each other
    assert {target for _, _, target in shown} == {MAC, "ff:ff:ff:ff:ff:ff"}
    protocols = sorted(protocols for protocols, _, _ in shown)
    expected = ("arp", "ip:icmp", "ip:udp", "ipv6:udp", "vlan:ethertype:ip:udp")
    for found, wanted in zip(protocols, expected, strict=True):
        assert wanted in found
