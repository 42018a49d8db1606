"""What QEMU's NIC is plugged into: a TAP, or a Unix datagram socket in tests.

QEMU reads its wire whenever there is something to read, and hands it to the chip at once. A chip that is stopped or
suspended discards it without a count (fact sheet 7.2), so a TAP's wire has a gate: while it is closed, a socket
filter makes the kernel drop what comes, and count it. Closing waits until QEMU has read what stood in the queue. Thus
every frame that the TAP counted as sent is in a descriptor or in CSR112. This starts no QEMU and reads no frame that
is meant for the chip.
"""

import ctypes
import fcntl
import os
import select
import socket
import struct
import time
from contextlib import suppress
from typing import Protocol

from asyncnic.devices.device import DeviceError, DeviceLost, PrivilegeError, WireCounters

_TUNSETIFF = 0x4004_54CA
_TUNATTACHFILTER = 0x4010_54D5
_TUNDETACHFILTER = 0x4010_54D6
_IFF_TAP_NO_PI = 0x1002
_BPF_RETURN = 0x06
_SETTLE_SECONDS = 1.0
_SETTLE_STEP = 0.001


class Wire(Protocol):
    """A wire for QEMU's NIC."""

    netdev: str
    """QEMU's back end for it, "{fd}" standing for the descriptor."""

    def fileno(self) -> int:
        """The descriptor that QEMU inherits."""

    def open_gate(self) -> None:
        """Let frames through to the chip."""

    def close_gate(self) -> None:
        """Keep frames from the chip; return when QEMU has read those that stood in the queue (a second at most)."""

    def counters(self) -> WireCounters | None:
        """What the wire has counted since it was made; None where it cannot be asked.

        Raises:
            DeviceLost: the wire is gone.
        """

    def reopen(self) -> None:
        """Come back after a loss, with the gate closed.

        Raises:
            DeviceError: it cannot.
        """

    def close(self) -> None:
        """Let go of the wire. Idempotent."""


class SocketWire:
    """One datagram a frame; the other end of the pair is `peer`. It has no gate: whoever holds `peer` need not send."""

    netdev = "dgram,local.type=fd,local.str={fd}"

    def __init__(self) -> None:
        self.peer, self._end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def fileno(self) -> int:
        return self._end.fileno()

    def open_gate(self) -> None:
        pass

    def close_gate(self) -> None:
        settle(self._end.fileno())

    def counters(self) -> None:
        return None

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        self._end.close()
        self.peer.close()


class TapWire:
    """A TAP of this host by its name; made when there is none.

    Raises:
        DeviceError: no TAP can be had by that name.
        PrivilegeError: a privilege is missing.
    """

    netdev = "tap,fd={fd}"

    def __init__(self, name: str) -> None:
        self.name = name
        self._before = WireCounters(0, 0)
        self._last = WireCounters(0, 0)
        self._program = ctypes.create_string_buffer(struct.pack("=HBBI", _BPF_RETURN, 0, 0, 0))
        self._tap = -1
        self.reopen()

    def fileno(self) -> int:
        return self._tap

    def reopen(self) -> None:
        self.close()
        self._before = self._last
        self._tap = _attach(self.name)
        self._filter()
        with suppress(BlockingIOError):  # older than the chip: nobody offered these frames to it
            while True:
                os.read(self._tap, 65536)
        self._base = _count(self.name)

    def _filter(self) -> None:
        """Have the kernel drop and count (`tx_dropped`) every frame that is sent to the TAP."""
        fcntl.ioctl(self._tap, _TUNATTACHFILTER, struct.pack("@HP", 1, ctypes.addressof(self._program)))

    def open_gate(self) -> None:
        with suppress(OSError):  # EBADFD: the TAP was deleted, which `counters` tells
            fcntl.ioctl(self._tap, _TUNDETACHFILTER, bytes(16))

    def close_gate(self) -> None:
        with suppress(OSError):
            self._filter()
            settle(self._tap)

    def counters(self) -> WireCounters:
        packets, dropped = _count(self.name)
        lost = self._before.dropped + dropped - self._base[1]
        passed = self._before.offered - self._before.dropped + packets - self._base[0]
        self._last = WireCounters(passed + lost, lost)
        return self._last

    def close(self) -> None:
        if self._tap >= 0:
            os.close(self._tap)
            self._tap = -1


def settle(descriptor: int) -> None:
    """Wait until nothing has stood in the descriptor's queue at two looks in a row, a second at most.

    Two, since a sender on another processor may be past the filter and not yet in the queue.
    """
    queue = select.poll()
    queue.register(descriptor, select.POLLIN)
    empty = 0
    deadline = time.monotonic() + _SETTLE_SECONDS
    while empty < 2 and time.monotonic() < deadline:
        empty = 0 if any(events & select.POLLIN for _, events in queue.poll(0)) else empty + 1
        time.sleep(_SETTLE_STEP)


def _attach(name: str) -> int:
    try:
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise PrivilegeError("/dev/net/tun may not be opened: run as root, or make the node accessible") from error
    except OSError as error:
        raise DeviceError(f"/dev/net/tun: {error.strerror}: load the module tun") from error
    try:
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP_NO_PI))
    except PermissionError as error:
        os.close(tap)
        raise PrivilegeError(f"qemu:{name}: making a TAP needs CAP_NET_ADMIN, or one that is yours") from error
    except OSError as error:
        os.close(tap)
        raise DeviceError(f"qemu:{name}: {error.strerror}: is the TAP in use by another program?") from error
    return tap


def _count(name: str) -> tuple[int, int]:
    """`tx_packets` and `tx_dropped` of an interface: what its other side received, and what was lost before."""
    with open("/proc/thread-self/net/dev") as table:
        for line in table:
            interface, _, numbers = line.partition(":")
            if interface.strip() == name:
                fields = numbers.split()
                return int(fields[9]), int(fields[11])
    raise DeviceLost(f"qemu:{name}: the TAP is gone")
