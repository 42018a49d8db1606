"""Blocks as the draft has them, and streams cut back into blocks."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic import pcapng
from asyncnic.pcapng import BlockSplitter


def test_a_packet_block_is_padded_and_says_its_length_twice() -> None:
    block = pcapng.packet(0x1_0000_0002, b"abcde")
    assert struct.unpack_from("<IIIIIII", block) == (pcapng.PACKET, 40, 0, 1, 2, 5, 5)
    assert block[28:36] == b"abcde\0\0\0"
    assert len(block) == 40
    assert block[-4:] == struct.pack("<I", 40)


def test_lost_copies_are_an_option() -> None:
    block = pcapng.packet(0, b"", dropped=7)
    assert struct.unpack_from("<HHQ", block, 28) == (4, 8, 7)


def test_statistics_have_both_counts() -> None:
    block = pcapng.statistics(5, 100, 3)
    assert struct.unpack_from("<HHQHHQ", block, 20) == (4, 8, 100, 5, 8, 3)


def test_headers() -> None:
    assert struct.unpack_from("<IIIHHq", pcapng.section_header("x")) == (0x0A0D0D0A, 40, 0x1A2B3C4D, 1, 0, -1)
    assert struct.unpack_from("<IIHHI", pcapng.interface("tap:x")) == (1, 44, pcapng.LINKTYPE_ETHERNET, 0, 0)


@given(st.lists(st.binary(max_size=70), max_size=8), st.integers(1, 50))
def test_a_stream_in_pieces_comes_out_in_whole_blocks(frames: list[bytes], size: int) -> None:
    stream = pcapng.section_header("x") + b"".join(pcapng.packet(0, frame) for frame in frames)
    splitter, out = BlockSplitter(), b""
    for at in range(0, len(stream), size):
        out += splitter.feed(stream[at : at + size])
        assert stream.startswith(out)
    assert out == stream
    assert splitter.packets == len(frames)


@pytest.mark.parametrize("noise", [b"HTTP/1.1 404 Not Found", b"\0" * 12, struct.pack("<III", 6, 13, 0)])
def test_what_is_no_stream_of_blocks_is_refused(noise: bytes) -> None:
    with pytest.raises(ValueError, match="not pcapng"):
        BlockSplitter().feed(noise)
