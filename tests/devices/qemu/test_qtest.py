"""The qtest protocol without a machine: lines in any pieces, and a server that misbehaves."""

import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.devices.qemu.qtest import Qtest, QtestError, QtestLines, QtestRefused


@given(st.lists(st.integers(1, 9)))
def test_lines_may_come_in_any_pieces(cuts: list[int]) -> None:
    stream = b"OK\nIRQ raise 11\nOK 0x41\nIRQ lower 11\nIRQ raise 4\nFAIL Unknown command\n"
    lines = QtestLines()
    for cut in cuts:
        lines.feed(stream[:cut])
        stream = stream[cut:]
    lines.feed(stream)
    assert list(lines.replies) == ["OK", "OK 0x41", "FAIL Unknown command"]
    assert lines.raised == {4}
    assert lines.raises == 2


@pytest.mark.parametrize("line", [b"\n", b"HELLO\n", b"IRQ raise x\n", b"IRQ 11\n", b"\xff\xfe\n", b"x" * 5000])
def test_another_language_is_an_error(line: bytes) -> None:
    with pytest.raises(QtestError):
        QtestLines().feed(line)


def serve(answer: Callable[[socket.socket], None]) -> Qtest:
    """A client whose server runs `answer` once."""
    near, far = socket.socketpair()

    def run() -> None:
        with far:
            answer(far)

    threading.Thread(target=run).start()
    return Qtest(near, timeout=0.2)


def test_a_deferred_write_travels_with_the_next_access() -> None:
    seen: list[bytes] = []

    def answer(far: socket.socket) -> None:
        seen.append(far.recv(4096))
        far.sendall(b"OK\nIRQ raise 11\nOK 0xabcd\n")

    client = serve(answer)
    client.defer_port(0xC012, 2, 0)
    assert client.read_port(0xC010, 2) == 0xABCD
    assert seen == [b"outw 0xc012 0x0\ninw 0xc010\n"]
    assert client.raised
    assert client.raises == 1
    client.close()


def test_configuration_space_goes_through_the_address_port() -> None:
    seen: list[bytes] = []

    def answer(far: socket.socket) -> None:
        seen.append(far.recv(4096))
        far.sendall(b"OK\nOK\n")

    client = serve(answer)
    client.write_config(device=3, register=0x06, width=2, value=7)
    assert seen == [b"outl 0xcf8 0x80001804\noutw 0xcfe 0x7\n"]
    client.close()


@pytest.mark.parametrize("answer", [b"", b"OK\n", b"OK zz\n", b"NONSENSE\n"], ids=["closed", "empty", "word", "other"])
def test_a_machine_that_does_not_answer_properly_is_an_error(answer: bytes) -> None:
    def reply(far: socket.socket) -> None:
        far.recv(4096)
        far.sendall(answer)

    client = serve(reply)
    with pytest.raises(QtestError):
        client.read_port(0xC010, 2)
    client.close()


def test_a_silent_machine_is_an_error_and_not_a_hang() -> None:
    near, far = socket.socketpair()
    client = Qtest(near, timeout=0.01)
    with pytest.raises(QtestError):
        client.read_port(0xC010, 2)
    client.close()
    far.close()


def test_a_refusal_leaves_the_socket_in_step() -> None:
    near, far = socket.socketpair()
    client = Qtest(near, timeout=0.2)
    far.sendall(b"FAIL no such device\nOK 0x1\n")
    assert not client.intercept_interrupts("nowhere")
    assert client.read_port(0xC010, 2) == 1
    far.sendall(b"FAIL again\n")
    with pytest.raises(QtestRefused):
        client.command("anything")
    client.close()
    far.close()
