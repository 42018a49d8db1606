"""QEMU's chip on a pair of Unix datagram sockets: one datagram a frame, and no kernel in between that says anything."""

import os
import socket
from contextlib import AsyncExitStack

from asyncnic.devices.attachment import Attachment, opened
from asyncnic.devices.qemu.device import QemuDevice
from asyncnic.devices.qemu.wire import settle


class SocketWire:
    """One datagram a frame; the other end of the pair is `peer`. It has no gate: whoever has `peer` need not send."""

    netdev = "dgram,local.type=fd,local.str={fd}"

    def __init__(self) -> None:
        self.attachment = Attachment("qemu", self._acquire)
        self.peer, self._end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._news = os.eventfd(0)  # there is never any: this wire ends with us

    async def _acquire(self, held: AsyncExitStack) -> None:
        """Nothing to do: both ends are ours."""

    def fileno(self) -> int:
        return self._end.fileno()

    def news(self) -> int:
        return self._news

    def gone(self) -> bool:
        return False

    def intact(self) -> bool:
        return self.attachment.attached

    def open_gate(self) -> None:
        pass

    def close_gate(self, *, settled: bool = True) -> None:
        if settled:
            settle(self._end.fileno())

    def begin(self) -> None:
        pass

    def settle(self, came: int) -> None:
        pass

    def counters(self) -> None:
        return None

    def no_link(self) -> str:
        return ""

    async def apply_knobs(self) -> None:
        pass

    def close(self) -> None:
        if self._end.fileno() >= 0:
            os.close(self._news)
        self._end.close()
        self.peer.close()


async def open_on_socket(mac: bytes) -> tuple[QemuDevice, SocketWire]:
    """QEMU's chip on such a wire."""
    wire = SocketWire()
    return await opened(QemuDevice("qemu", wire, mac)), wire
