"""The kernel's TCP/IP behind our driver: `--stack kernel`.

Each frame is handed to Linux through a second TAP (`--kernel-if`), and what Linux sends on it goes out by the nic. So
every program of this machine or container uses the NIC behind our driver as an ordinary interface. There is no
protocol and no queue in here: when the TAP pushes back we take no more frames, and when the transmit ring is full we
read no more from the TAP, whose own queue then fills and drops, which the kernel counts.

An interface that is deleted is noticed, waited for and taken up again (interface.py); what comes for it meanwhile is
taken off the card and counted. The interface itself, and how it is set up, are not in here.
"""

import asyncio
import errno
import os
from collections.abc import Sequence

from asyncnic import hot
from asyncnic.linux.link import GONE
from asyncnic.nic.nic import Nic
from asyncnic.settings.values import Interface
from asyncnic.stacks.kernel import coalesce
from asyncnic.stacks.kernel.interface import KernelInterface
from asyncnic.stacks.stack import Outcomes, Stack
from asyncnic.tasks import Background

_SEND_BUDGET = 64
_FRAME_ROOM = 2048
_PREFIX = bytes.fromhex("01005e0000")
_EVERY_GROUP = {_PREFIX + bytes([last]) for last in range(256)}
"""Group addresses that fall on every bit of the card's hash filter: what the kernel wants of them, it knows best."""

_Coalescer = hot.choose(coalesce.Coalescer)


class KernelStack(Stack):
    """Frames between a nic and a TAP.

    Args:
        nic: where frames come from and go to.
        interface: name of the TAP; made when there is none.
        addresses: what the interface is to have.

    `interface` is the TAP. Counters are frames: `handed` to the kernel, `refused` by it (the interface is down, or the
    frame makes no sense to it), `no_interface` while it was deleted; `sent` by it, and `unsent` when the stack ended
    with it in hand.
    """

    def __init__(self, nic: Nic, interface: str, addresses: Sequence[Interface]) -> None:
        self.handed = 0
        self.refused = 0
        self.no_interface = 0
        self.sent = 0
        self.unsent = 0
        self.interface = KernelInterface(nic, interface, addresses)
        self._nic = nic
        self._coalescer = _Coalescer(address.ip for address in addresses)
        self._frame = memoryview(bytearray(_FRAME_ROOM))
        self._waiting: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    def outcomes(self) -> Outcomes:
        """What became of the frames: those received add up to the delivered ones."""
        return {
            "kernel": {"handed": self.handed, "refused": self.refused, "no_interface": self.no_interface},
            "kernel_transmit": {
                "sent": self.sent,
                "unsent": self.unsent,
                "queue_full": self.interface.queue_full(),
            },
        }

    def trouble(self) -> str:
        """See `Stack.trouble`."""
        return self.interface.trouble

    async def set_up(self) -> None:
        """Attach to the TAP and make the interface what it shall be. Does nothing when that is done.

        Raises:
            PrivilegeError, DeviceError: the TAP cannot be had or set up; the message says what to do.
        """
        await self.interface.attach()

    async def run(self) -> None:
        """Carry frames both ways until the nic is stopped."""
        await self.set_up()
        self._nic.accept_multicast(_EVERY_GROUP)
        interface = self.interface
        try:
            async with Background() as tasks:
                self._tasks = tasks
                interface.on_lost, interface.on_back = self._end_reading, self._read
                self._read()
                tasks.run(interface.keep(), "asyncnic keeps the kernel's interface")
                await self._to_kernel()
        finally:
            if interface.present:
                self._end_reading(interface.fd)
            if self._waiting is not None:
                self._waiting = None
                self.unsent += 1

    async def _to_kernel(self) -> None:
        interface, write, run = self.interface, os.writev, self._coalescer.run
        async for burst in self._nic:
            memory, clock, deadline = burst.memory, burst.clock, burst.deadline
            offsets, lengths = burst.offsets, burst.lengths
            count = len(offsets)
            burst.taken = 0  # said, so that none counts as handed over when this ends while it waits
            while burst.taken < count:
                if not interface.present:
                    self.no_interface += count - burst.taken
                    burst.taken = count
                    break
                frames, pieces = run(memory, offsets, lengths, burst.taken)
                try:
                    write(interface.fd, pieces)
                except BlockingIOError:
                    await self._writable()
                    continue
                except OSError as error:
                    if error.errno == errno.EBADFD:  # the interface was deleted
                        interface.lose()
                        continue
                    self.refused += frames
                else:
                    self.handed += frames
                burst.taken += frames
                if clock() >= deadline:
                    break

    async def _writable(self) -> None:
        """Wait for the TAP to take frames again, or to be lost. The burst is kept: the card holds what comes."""
        loop, fd = asyncio.get_running_loop(), self.interface.fd
        self._ready.clear()
        loop.add_writer(fd, self._ready.set)
        try:
            await self._ready.wait()
        finally:
            if self.interface.fd == fd:
                loop.remove_writer(fd)

    def _read(self) -> None:
        """Read what the kernel sends, unless there is a frame of its in hand or no interface."""
        if self._waiting is None and self.interface.present:
            asyncio.get_running_loop().add_reader(self.interface.fd, self._from_kernel)

    def _end_reading(self, fd: int) -> None:
        """The descriptor is watched no more, and nobody waits for it."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(fd)
        loop.remove_writer(fd)
        self._ready.set()

    def _from_kernel(self) -> None:
        """The kernel has sent something: pass on what there is, as far as the transmit ring has room."""
        fd, frame, send = self.interface.fd, self._frame, self._nic.try_send
        for _ in range(_SEND_BUDGET):
            try:
                size = os.readv(fd, [frame])
            except BlockingIOError:
                return
            except OSError as error:
                self.interface.lose(GONE if error.errno == errno.EBADFD else f"cannot be read: {error.strerror}")
                return
            if not send(frame[:size]):
                asyncio.get_running_loop().remove_reader(fd)
                self._waiting = self._tasks.run(self._send_later(frame[:size]), "asyncnic sends the kernel's frame")
                return
            self.sent += 1

    async def _send_later(self, frame: memoryview) -> None:
        """The transmit ring was full: wait for room, send the frame in hand, and read on."""
        while not self._nic.try_send(frame):
            await self._nic.writable()
        self._waiting = None
        self.sent += 1
        self._read()

    def close(self) -> None:
        """Let go of the TAP. Idempotent."""
        self.interface.close()
