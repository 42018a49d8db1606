# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: annotation_typing=False
"""Frames out of transmit descriptors onto the wire, as the chip sends them: the loop that every sent frame passes.

One text, interpreted as it stands and compiled as `asyncnic.hot._wire`, with the C types of _wire.pxd. It knows style 2
descriptors that hold one whole frame each, and nothing of registers; whatever else stands in the ring it leaves where
it is, and model/transmit.py sees to it.
"""

import io
import socket
from collections.abc import Callable
from typing import Any

try:
    import cython
except ImportError:
    from asyncnic.hot import shadow as cython

if cython.compiled:
    from cython.cimports.asyncnic.hot.primitives import (
        FRAMES_A_CALL,
        gather_frame,
        load32,
        send_frames,
        store32,
        write_frame,
    )

Line = io.FileIO | socket.socket
"""A wire that takes a frame with each write, or many in one call."""

_OWN = 0x8000_0000
_OWN_STP_ENP = 0x8300_0000
_BCNT_MASK = 0xFFF
# Of CSR0 the transmitter is on, and TINT; of CSR4 TXSTRT; of CSR5 suspended, LTINTEN and TOKINTD; of the mode loopback.
_STATUS, _FEATURES, _EXTENDED, _MODE = 0, 4, 5, 15
_TXON, _TINT, _TXSTRT, _SPND, _LTINTEN, _TOKINTD, _LOOP = 0x10, 0x200, 0x8, 0x1, 0x4000, 0x8000, 0x4
_LEAST, _MOST = 60, 1514  # shorter ones are padded, and longer ones babble


class FrameWriter:
    """The transmit ring of a chip whose wire is a file, each write a frame, or a socket, where many go in one call.

    Args:
        octets, words: the DMA memory.
        bus: bus address of its first octet.
        ring: offset of the ring in 32-bit words.
    """

    def __init__(self, octets: memoryview, words: memoryview, bus: int, ring: int) -> None:
        self._octets = octets
        self._words = words
        self._bus = bus
        self._ring = ring
        self.stopped = False

    def write(self, file: Line, first: int, end: int) -> int:
        """Send from descriptors `first` to before `end`, each at most once, and return them without an error.

        Returns the descriptor after the last one that was sent. `stopped` tells that the one it names is the host's;
        otherwise it wants more than is done here, or the wire did not take it.
        """
        fd = file.fileno()
        room = len(self._octets)
        gathers = isinstance(file, socket.socket)
        unsent = first
        self.stopped = False
        while first < end:
            word = self._ring + 4 * first
            status = load32(cython.address(self._words[word + 1])) if cython.compiled else self._words[word + 1]
            if not status & _OWN:
                self.stopped = True
                break
            length = 4096 - (status & _BCNT_MASK)
            start = self._words[word] - self._bus
            if (
                status & _OWN_STP_ENP != _OWN_STP_ENP
                or length < _LEAST
                or length > _MOST
                or self._words[word] < self._bus
                or start > room - length
            ):
                break
            if not (
                self._octets[start]
                or self._octets[start + 1]
                or self._octets[start + 2]
                or self._octets[start + 3]
                or self._octets[start + 4]
                or self._octets[start + 5]
            ):
                break  # to no station: the wire's owner has it routed
            if cython.compiled:
                if gathers:
                    batch = cython.address(self._batch)  # type: ignore[attr-defined]  # see _wire.pxd
                    gather_frame(batch, first - unsent, cython.address(self._octets[start]), length)
                    first += 1
                    if first - unsent == FRAMES_A_CALL:
                        unsent = self._send(fd, unsent, first)
                        if unsent < first:
                            return unsent
                    continue
                if write_frame(fd, cython.address(self._octets[start]), length) < 0:
                    break
                store32(cython.address(self._words[word + 1]), status & ~_OWN)
            else:
                try:
                    frame = self._octets[start : start + length]
                    if (file.send(frame) if isinstance(file, socket.socket) else file.write(frame)) is None:
                        break
                except OSError:
                    break
                self._words[word + 1] = status & ~_OWN
            first += 1
        if cython.compiled and gathers and unsent < first:
            unsent = self._send(fd, unsent, first)
            if unsent < first:
                self.stopped = False
                return unsent
        return first

    if cython.compiled:

        def _send(self, fd: int, first: int, end: int) -> int:
            """Send what was gathered for descriptors `first` to before `end`. Returns the one after the last sent."""
            batch = cython.address(self._batch)  # type: ignore[attr-defined]
            sent: int = send_frames(fd, batch, end - first)
            for place in range(first, first + sent):
                word = self._ring + 4 * place + 1
                store32(cython.address(self._words[word]), load32(cython.address(self._words[word])) & ~_OWN)
            return first + sent


class UsualFrames:
    """A chip's transmit half as long as what it is to send is usual, and its wire a file.

    Args:
        core: the chip's state.

    Attributes:
        writer: of the ring; None: it holds none that are usual.
        file: the wire; None: it is no file.
        busy: whether the transmitter is at it.
    """

    def __init__(self, core: Any) -> None:
        self._core = core
        self.writer: FrameWriter | None = None
        self.file: Line | None = None
        self.busy = False

    def burst(self) -> bool:
        """Send the usual frames at the head of the ring. True when the card owns no more."""
        core, csr, writer = self._core, self._core.csr, self.writer
        if self.file is None or writer is None or not core.link_up or not core.bus_master:
            return False
        if csr[_MODE] & _LOOP or csr[_EXTENDED] & _LTINTEN:
            return False
        sent = 0
        length = core.tx_length
        count = core.tx_count
        while sent < length and not (sent and writer.stopped):
            first = length - count
            done = writer.write(self.file, first, min(length, first + length - sent)) - first
            if not done:
                break
            sent += done
            count = count - done or length
        if sent:
            core.tx_count = count
            core.counters.transmitted += sent
            csr[_FEATURES] |= _TXSTRT
            if not csr[_EXTENDED] & _TOKINTD:
                csr[_STATUS] |= _TINT
        return writer.stopped or sent == length


class Doorbell:
    """Has a chip in this process look at its transmit ring, without a write of TDMD: one step where all is usual.

    Args:
        core: the chip's state.
        usual: its transmit half.
        slow: what a write of TDMD does.
    """

    def __init__(self, core: Any, usual: UsualFrames, slow: Callable[[], None]) -> None:
        self._core = core
        self._usual = usual
        self._slow = slow

    def __call__(self) -> None:
        """Send what the chip owns."""
        core, csr, usual = self._core, self._core.csr, self._usual
        status, features = csr[_STATUS], csr[_FEATURES]
        ready = status & _TXON and not csr[_EXTENDED] & _SPND and not usual.busy
        if not ready or not usual.burst():
            self._slow()
        elif (csr[_STATUS] != status or csr[_FEATURES] != features) and not core.interrupt_line:
            core.update_interrupt()  # what is sent adds causes, and takes none away
