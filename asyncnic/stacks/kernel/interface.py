"""The TAP that Linux sees as its interface: had, set up, noticed when it is deleted, and had again.

It moves no frame. Whoever does reads and writes `fd` while it is `present`, and says so when that fails.

The interface has the nic's MAC and MTU and the addresses of `--address`; its carrier is the device's.
"""

import asyncio
import fcntl
import logging
import os
import select
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from asyncnic.devices.attachment import WireCount
from asyncnic.errors import DeviceError, DeviceLost, PrivilegeError
from asyncnic.linux import tun
from asyncnic.linux.link import GONE, LinkCounters
from asyncnic.linux.thread import in_thread
from asyncnic.logs import fields
from asyncnic.nic.nic import Nic
from asyncnic.settings.values import Interface

log = logging.getLogger(__name__)

LOOK_INTERVAL = 0.1
"""Seconds between looks at whether the interface is there, and at the device, whose carrier it shows."""
RETRY_INTERVAL = 0.5
"""Seconds between attempts to have a lost interface again."""
_TUNSETCARRIER = 0x4004_54E2
_NODAD = 0x02


class KernelInterface:
    """The hold on one TAP.

    Args:
        nic: whose MAC, MTU and carrier it has.
        name: of the TAP; made when there is none. One that was made beforehand and is gone is waited for; one that we
            made is made again.
        addresses: what the interface is to have.

    Attributes:
        fd: the TAP's descriptor; -1: none.
        trouble: why it is not there, in one line; empty: it is.
        on_lost: called with the descriptor when it is of no more use and before it is closed.
        on_back: called when there is one again.
    """

    def __init__(self, nic: Nic, name: str, addresses: Sequence[Interface]) -> None:
        self.fd = -1
        self.trouble = ""
        self.on_lost: Callable[[int], None] = lambda fd: None
        self.on_back: Callable[[], None] = lambda: None
        self._nic = nic
        self._name = name
        self._addresses = addresses
        self._held = ExitStack()
        self._link: LinkCounters | None = None
        self._count = WireCount()
        self._made_here: bool | None = None
        self._shown: bool | None = None
        self._told = ""

    @property
    def present(self) -> bool:
        """Whether frames may go to the kernel and come from it."""
        return self.fd >= 0

    def queue_full(self) -> int:
        """Frames of the kernel's that its queue had no room for while we had it; only grows."""
        if self._link is not None:
            with suppress(DeviceLost):  # the last that was seen counts
                self._count.update(*self._link.read())
        return self._count.dropped

    async def attach(self) -> None:
        """Attach to the TAP and make the interface what it shall be. Does nothing where that was done before.

        Raises:
            PrivilegeError, DeviceError: the TAP cannot be had or set up; the message says what to do.
        """
        if self._made_here is None:
            made_here = not tun.exists(self._name)
            await self._attach()
            self._made_here = made_here

    async def _attach(self) -> None:
        with ExitStack() as held:
            try:
                fd = tun.attach(self._name)
            except DeviceError as error:
                raise type(error)(f"--kernel-if: {error}") from None
            held.callback(os.close, fd)
            await in_thread(self._configure)  # which has ended before we give up our privileges: it would keep its own
            link = LinkCounters(self._name)
            held.callback(link.close)
            self._count.begin(*link.read())
            self._link, self._held, self._shown = link, held.pop_all(), None
            self.fd = fd

    def _configure(self) -> None:
        name, nic = self._name, self._nic
        with IPRoute() as route:
            try:
                index = socket.if_nametoindex(name)
            except OSError:
                raise DeviceLost(f"--kernel-if {name}: {GONE}") from None
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

    def lose(self, problem: str = GONE) -> None:
        """The descriptor is of no more use. Nothing where that was known."""
        if not self.present:
            return
        self.queue_full()
        self.trouble = f"--kernel-if {self._name}: {problem}"
        log.error(
            "the kernel's interface is lost; waiting for it to come back",
            extra=fields(interface=self._name, problem=problem),
        )
        lost, self.fd = self.fd, -1
        self.on_lost(lost)
        self.close()

    async def keep(self) -> None:
        """For ever: notice when the interface is gone, have it again, and show the kernel whether the device is there,
        so that routes and bonds may follow.
        """
        while True:
            if self.present:
                self._look()
            if self.present:
                await asyncio.sleep(LOOK_INTERVAL)
            elif not await self._reattach():
                await asyncio.sleep(RETRY_INTERVAL)

    def _look(self) -> None:
        # A loop may drop a descriptor that reports nothing but an error, and then never call its reader.
        poller = select.poll()
        poller.register(self.fd, 0)
        if poller.poll(0):
            self.lose()
        elif self._shown != self._nic.device_up:
            self._shown = self._nic.device_up
            with suppress(OSError):
                fcntl.ioctl(self.fd, _TUNSETCARRIER, struct.pack("i", self._shown))

    async def _reattach(self) -> bool:
        if not self._made_here and not tun.exists(self._name):
            return False
        try:
            await self._attach()
        except (DeviceError, OSError, NetlinkError) as error:
            problem = str(error)
            if not isinstance(error, DeviceLost) and problem != self._told:
                self._told = self.trouble = problem
                log.warning(
                    "the kernel's interface cannot be had yet", extra=fields(interface=self._name, problem=problem)
                )
            return False
        self.trouble = self._told = ""
        log.warning("the kernel's interface is back", extra=fields(interface=self._name))
        self.on_back()
        return True

    def close(self) -> None:
        """Let go of the TAP. Idempotent."""
        self.fd = -1
        self._link = None
        self._held.close()
