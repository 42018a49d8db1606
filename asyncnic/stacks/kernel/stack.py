"""The kernel's TCP/IP behind our driver: `--stack kernel`.

Each frame is handed to Linux through a second TAP (`--kernel-if`), and what Linux sends on it goes out by the nic. So
every program of this machine or container uses the NIC behind our driver as an ordinary interface. There is no
protocol and no queue in here: when the TAP pushes back we take no more frames, and when the transmit ring is full we
read no more from the TAP, whose own queue then fills and drops, which the kernel counts.

The interface has the nic's MAC and MTU and the addresses of `--address`; its carrier is the device's.
"""

import asyncio
import fcntl
import io
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from asyncnic import hot
from asyncnic.errors import DeviceError, DeviceLost, PrivilegeError
from asyncnic.linux import tun
from asyncnic.linux.link import LinkCounters
from asyncnic.linux.thread import in_thread
from asyncnic.nic.nic import Nic
from asyncnic.settings.values import Interface
from asyncnic.stacks.kernel import coalesce
from asyncnic.stacks.stack import Outcomes, Stack

_TUNSETCARRIER = 0x4004_54E2
_CARRIER_INTERVAL = 0.1
_SEND_BUDGET = 64
_FRAME_ROOM = 2048
_NODAD = 0x02
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

    Counters are frames: `handed` to the kernel, `refused` by it (the interface is down, or the frame makes no sense
    to it), `sent` by it.
    """

    def __init__(self, nic: Nic, interface: str, addresses: Sequence[Interface]) -> None:
        self.handed = 0
        self.refused = 0
        self.sent = 0
        self._nic = nic
        self._interface = interface
        self._addresses = addresses
        self._coalescer = _Coalescer(address.ip for address in addresses)
        self._tap = -1
        self._file: io.FileIO | None = None
        self._link: LinkCounters | None = None
        self._frame = memoryview(bytearray(_FRAME_ROOM))
        self._waiting: asyncio.Task[None] | None = None

    def outcomes(self) -> Outcomes:
        """What became of the frames: those received add up to the delivered ones."""
        unsent = 0
        if self._link is not None:
            with suppress(DeviceLost):
                unsent = self._link.read()[1]
        return {
            "kernel": {"handed": self.handed, "refused": self.refused},
            "kernel_transmit": {"sent": self.sent, "queue_full": unsent},
        }

    async def set_up(self) -> None:
        """Attach to the TAP and make the interface what it shall be. Does nothing when that is done.

        Raises:
            PrivilegeError, DeviceError: the TAP cannot be had or set up; the message says what to do.
        """
        if self._file is not None:
            return
        try:
            self._tap = tun.attach(self._interface)
        except DeviceError as error:
            raise type(error)(f"--kernel-if: {error}") from None
        self._file = io.FileIO(self._tap, "r+")
        await in_thread(self._configure)  # which has ended before we give up our privileges: it would keep its own
        self._link = LinkCounters(self._interface)

    def _configure(self) -> None:
        name, nic = self._interface, self._nic
        with IPRoute() as route:
            index = socket.if_nametoindex(name)
            try:
                (link,) = route.get_links(index)
                if link.get_attr("IFLA_ADDRESS") != nic.mac.hex(":"):
                    route.link("set", index=index, address=nic.mac.hex(":"))
                if link.get_attr("IFLA_MTU") != nic.mtu:
                    route.link("set", index=index, mtu=nic.mtu)
                route.link("set", index=index, state="up")
                for address in self._addresses:
                    flags = {"flags": _NODAD} if address.version == 6 else {}
                    prefix = address.network.prefixlen
                    route.addr("replace", index=index, address=str(address.ip), prefixlen=prefix, **flags)
            except NetlinkError as error:
                reason = os.strerror(error.code)
                if isinstance(error, PermissionError) or error.code in (1, 13):
                    raise PrivilegeError(f"--kernel-if {name}: setting it up needs CAP_NET_ADMIN ({reason})") from None
                raise DeviceError(f"--kernel-if {name}: the kernel refuses: {reason}") from None

    async def run(self) -> None:
        """Carry frames both ways until the nic is stopped."""
        await self.set_up()
        self._nic.accept_multicast(_EVERY_GROUP)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._tap, self._from_kernel)
        carrier = asyncio.create_task(self._follow_carrier())
        try:
            await self._to_kernel()
        finally:
            carrier.cancel()
            if self._waiting is not None:
                self._waiting.cancel()
            loop.remove_reader(self._tap)

    async def _to_kernel(self) -> None:
        tap, write, run = self._tap, os.writev, self._coalescer.run
        async for burst in self._nic:
            memory, clock, deadline = burst.memory, burst.clock, burst.deadline
            offsets, lengths = burst.offsets, burst.lengths
            count = len(offsets)
            burst.taken = 0  # said, so that none counts as handed over when this ends while it waits
            while burst.taken < count:
                frames, pieces = run(memory, offsets, lengths, burst.taken)
                try:
                    write(tap, pieces)
                except BlockingIOError:
                    await self._writable()
                    continue
                except OSError:
                    self.refused += frames
                else:
                    self.handed += frames
                burst.taken += frames
                if clock() >= deadline:
                    break

    async def _writable(self) -> None:
        """Wait for the TAP to take frames again. The burst is kept meanwhile: the card holds what comes."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._tap, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._tap)

    def _from_kernel(self) -> None:
        """The kernel has sent something: pass on what there is, as far as the transmit ring has room."""
        if self._file is None:
            return
        readinto, frame, send = self._file.readinto, self._frame, self._nic.try_send
        for _ in range(_SEND_BUDGET):
            try:
                size = readinto(frame)
            except OSError:  # the interface is down or deleted
                asyncio.get_running_loop().remove_reader(self._tap)
                return
            if not size:
                return
            if not send(frame[:size]):
                asyncio.get_running_loop().remove_reader(self._tap)
                self._waiting = asyncio.create_task(self._send_later(frame[:size]))
                return
            self.sent += 1

    async def _send_later(self, frame: memoryview) -> None:
        """The transmit ring was full: wait for room, send the frame in hand, and read on."""
        await self._nic.writable()
        while not self._nic.try_send(frame):
            await self._nic.writable()
        self.sent += 1
        asyncio.get_running_loop().add_reader(self._tap, self._from_kernel)

    async def _follow_carrier(self) -> None:
        """Show the kernel whether the device is there, so that routes and bonds may follow."""
        shown: bool | None = None
        while True:
            if shown != self._nic.device_up:
                shown = self._nic.device_up
                with suppress(OSError):
                    fcntl.ioctl(self._tap, _TUNSETCARRIER, struct.pack("i", shown))
            await asyncio.sleep(_CARRIER_INTERVAL)

    def close(self) -> None:
        """Let go of the TAP. Idempotent."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._file is not None:
            self._file.close()
            self._file = None
