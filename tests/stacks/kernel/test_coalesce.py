"""Runs of TCP segments: what is put together, what is not, and checksums that stay honest."""

import importlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.stacks.kernel.coalesce import Coalescer

compiled = importlib.import_module("asyncnic.hot._compiled")

OWN = ip_address("192.0.2.2")
PEER = ip_address("192.0.2.1")


def checksum(octets: bytes) -> int:
    return -int.from_bytes(octets + b"\0" * (len(octets) & 1), "big") % 0xFFFF


def segment(
    sequence: int,
    payload: bytes,
    *,
    flags: int = 0x10,
    ack: int = 7,
    options: bytes = b"",
    destination: object = OWN,
    fragment: int = 0x4000,
) -> bytes:
    addresses = PEER.packed + ip_address(str(destination)).packed
    tcp = bytearray((4000).to_bytes(2, "big") + (5001).to_bytes(2, "big"))
    tcp += (sequence & 0xFFFF_FFFF).to_bytes(4, "big") + ack.to_bytes(4, "big")
    tcp += bytes([(20 + len(options)) << 2, flags]) + b"\xff\xff\0\0\0\0" + options
    pseudo = addresses + b"\0\x06" + (len(tcp) + len(payload)).to_bytes(2, "big")
    tcp[16:18] = checksum(pseudo + tcp + payload).to_bytes(2, "big")
    ip = bytearray(b"\x45\0" + (20 + len(tcp) + len(payload)).to_bytes(2, "big") + b"\0\1")
    ip += fragment.to_bytes(2, "big") + b"\x40\x06\0\0" + addresses
    ip[10:12] = checksum(bytes(ip)).to_bytes(2, "big")
    return (b"\x02\0\0\0\0\2\x02\0\0\0\0\1\x08\0" + ip + tcp + payload).ljust(60, b"\0")


def run(*frames: bytes, first: int = 0) -> tuple[int, bytes]:
    """What both twins make of the frames, which must be the same."""
    lengths = [len(frame) for frame in frames]
    offsets = [sum(lengths[:i]) for i in range(len(frames))]
    memory = memoryview(b"".join(frames))
    count, pieces = Coalescer([OWN, ip_address("2001:db8::2")]).run(memory, offsets, lengths, first)
    count_compiled, pieces_compiled = compiled.Coalescer([OWN]).run(memory, offsets, lengths, first)
    packet = b"".join(pieces)
    assert (count_compiled, b"".join(pieces_compiled)) == (count, packet)
    return count, packet


def is_sound(packet: bytes) -> bool:
    """Whether IP length, IP checksum and TCP checksum of a frame hold, as the kernel sees it."""
    total = int.from_bytes(packet[16:18], "big")
    tcp = packet[34 : 14 + total]
    pseudo = packet[26:34] + b"\0\x06" + len(tcp).to_bytes(2, "big")
    return len(packet) >= 14 + total and not checksum(packet[14:34]) and not checksum(pseudo + tcp)


@given(st.lists(st.binary(min_size=1, max_size=50).map(lambda octets: octets * 2), min_size=2, max_size=20))
def test_a_stream_comes_out_whole_under_a_checksum_that_holds(payloads: list[bytes]) -> None:
    frames, sequence = [], 0xFFFF_FFF0  # over the wrap of the sequence numbers
    for payload in payloads:
        frames.append(segment(sequence, payload, options=b"\x01\x01\x08\x0a" + bytes(8)))
        sequence += len(payload)
    count, packet = run(*frames)
    assert count == len(frames)
    assert packet[66:] == b"".join(payloads)
    assert is_sound(packet)


@given(st.integers(0, 2), st.integers(0, 99), st.integers(1, 255))
def test_a_damaged_segment_is_found_out_by_the_checksum_of_the_whole(which: int, where: int, change: int) -> None:
    frames = [bytearray(segment(i * 100, bytes(range(100)))) for i in range(3)]
    frames[which][54 + where] ^= change
    count, packet = run(*map(bytes, frames))
    assert count == 3
    assert not is_sound(packet)


@pytest.mark.parametrize(
    "second",
    [
        segment(101, b"x" * 100),
        segment(200, b"x" * 100),
        segment(100, b""),
        segment(100, b"x" * 100, ack=8),
        segment(100, b"x" * 100, flags=0x11),
        segment(100, b"x" * 100, flags=0x12),
        segment(100, b"x" * 100, flags=0x00),
        segment(100, b"x" * 100, options=b"\1\1\1\1"),
        segment(100, b"x" * 100, fragment=0x2000),
        segment(100, b"x" * 100, fragment=0x0001),
        segment(100, b"x" * 100, destination="192.0.2.3"),
        segment(100, b"x" * 100)[:80],
        b"\xff" * 60,
        bytes(14),
    ],
)
def test_what_differs_stays_alone(second: bytes) -> None:
    first = segment(0, b"y" * 100)
    assert run(first, second) == (1, first)
    assert run(second, first) == (1, second)


def test_a_damaged_ip_header_stays_alone() -> None:
    first, second = segment(0, b"y" * 100), bytearray(segment(100, b"x" * 100))
    second[22] ^= 1
    assert run(first, bytes(second))[0] == 1


def test_an_odd_payload_ends_a_run_and_so_does_a_push() -> None:
    assert run(segment(0, b"a" * 101), segment(101, b"b" * 100))[0] == 1
    pushed = segment(100, b"b" * 100, flags=0x18)
    count, packet = run(segment(0, b"a" * 100), pushed, segment(200, b"c" * 100))
    assert count == 2
    assert packet[47] == 0x18
    assert is_sound(packet)


def test_a_run_fits_into_an_ip_packet() -> None:
    frames = [segment(i * 1460, bytes(1460)) for i in range(60)]
    count, packet = run(*frames)
    assert count == 44
    assert len(packet) <= 14 + 65535
    assert run(*frames, first=44)[0] == 16


@given(st.lists(st.binary(max_size=120), min_size=1, max_size=4))
def test_any_octets_pass_one_by_one_and_unchanged(frames: list[bytes]) -> None:
    assert run(*frames) == (1, frames[0])
