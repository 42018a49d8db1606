"""Capture files as their own tools write them, and as nobody should: frames out, never an exception."""

import io
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic import pcapng
from asyncnic.devices.pcap.capture_file import CaptureFile

FRAMES = [bytes([number]) * length for number, length in enumerate((14, 60, 61, 1514), 1)]


def ours(frames: list[bytes]) -> bytes:
    """A pcapng file as this project writes it."""
    head = pcapng.section_header("test") + pcapng.interface("eth0")
    return head + b"".join(pcapng.packet(number, frame) for number, frame in enumerate(frames))


def classic(frames: list[bytes], order: str, magic: int = 0xA1B2C3D4, link_type: int = 1) -> bytes:
    """A pcap file."""
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    records = [struct.pack(order + "IIII", 1, 2, len(frame), len(frame)) + frame for frame in frames]
    return head + b"".join(records)


def block(order: str, kind: int, body: bytes) -> bytes:
    """A pcapng block of any byte order."""
    padded = body + bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(padded) + 12)
    return struct.pack(order + "I", kind) + length + padded + length


def read(octets: bytes) -> tuple[list[bytes], CaptureFile]:
    found = CaptureFile(io.BytesIO(octets))
    return list(found), found


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_pcap_of_either_order_and_clock(order: str, magic: int) -> None:
    frames, found = read(classic(FRAMES, order, magic))
    assert (frames, found.damage) == (FRAMES, "")


def test_pcapng_as_we_write_it() -> None:
    frames, found = read(ours(FRAMES))
    assert (frames, found.damage, found.passed_over) == (FRAMES, "", 0)


@pytest.mark.parametrize("order", "<>")
def test_pcapng_with_several_sections_interfaces_and_kinds_of_packets(order: str) -> None:
    section = block(order, pcapng.SECTION_HEADER, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    ethernet = block(order, 1, struct.pack(order + "HHI", 1, 0, 0))
    radio = block(order, 1, struct.pack(order + "HHI", 105, 0, 0))
    first, second, third, fourth = FRAMES

    def enhanced(interface: int, frame: bytes) -> bytes:
        return block(order, 6, struct.pack(order + "IIIII", interface, 0, 0, len(frame), len(frame)) + frame)

    simple = block(order, 3, struct.pack(order + "I", len(second)) + second)
    old = block(order, 2, struct.pack(order + "HHIIII", 0, 0, 0, 0, len(third), len(third)) + third)
    unknown = block(order, 0xBAD, b"whatever")
    octets = section + ethernet + radio + enhanced(0, first) + simple + unknown + old
    octets += enhanced(1, first) + enhanced(7, first) + ours([fourth])
    frames, found = read(octets)
    assert frames == FRAMES
    assert found.passed_over == 2


@pytest.mark.parametrize("octets", [b"", b"\0" * 100, b"#!/bin/sh\n" * 10])
def test_what_is_no_capture_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"is no capture|is neither pcap nor pcapng"):
        CaptureFile(io.BytesIO(octets))


def test_another_link_type_is_refused_by_its_number() -> None:
    with pytest.raises(ValueError, match="link type 113"):
        CaptureFile(io.BytesIO(classic([], "<", link_type=113)))


@pytest.mark.parametrize("octets", [classic(FRAMES, "<"), ours(FRAMES)])
@pytest.mark.parametrize("cut", [1, 3, 9, 100])
def test_a_file_that_was_cut_gives_what_is_whole_and_says_so(octets: bytes, cut: int) -> None:
    frames, found = read(octets[:-cut])
    assert frames == FRAMES[:-1]
    assert found.damage.startswith(("ends in the middle", "is damaged"))


@given(st.sampled_from([classic(FRAMES, "<"), ours(FRAMES)]), st.data())
def test_no_octets_raise_anything_but_a_refusal(octets: bytes, data: st.DataObject) -> None:
    mangled = bytearray(octets)
    for _ in range(data.draw(st.integers(1, 8))):
        mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    refusal = ""
    frames: list[bytes] = []
    try:
        frames, _ = read(bytes(mangled))
    except ValueError as error:
        refusal = str(error)
    assert refusal == "" or refusal.startswith(("is ", "has "))
    assert sum(map(len, frames)) <= len(mangled)


def test_what_a_neighbours_tool_wrote(tmp_path: Path) -> None:
    """text2pcap writes both kinds, of the octets it is given."""
    text = "".join(f"000000 {frame.hex(' ')}\n" for frame in FRAMES)
    for kind in ("pcap", "pcapng"):
        path = tmp_path / kind
        subprocess.run(["text2pcap", "-q", "-F", kind, "-", str(path)], input=text, text=True, check=True)
        with path.open("rb") as file:
            assert list(CaptureFile(file)) == FRAMES
