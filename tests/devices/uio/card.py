"""A card for the UIO device that is no silicon, and that nobody here wrote: QEMU's chip, behind files like sysfs'.

Registers go to the machine by qtest where a card's would go through `resource0`; the page is the machine's RAM; the
interrupt is told on a terminal, which gives EIO once its other side is closed, as /dev/uioN does when the driver is
unbound.
"""

import asyncio
import os
import pty
import tty
from pathlib import Path

import pytest

from asyncnic.devices.qemu.machine import DMA_BUS, DMA_SIZE, IO_BASE, Machine, Ram
from asyncnic.devices.uio.device import UioDevice, UioPort
from asyncnic.devices.uio.pci import PciFunction
from asyncnic.pcnet32.memory import DmaMemory
from tests.devices.qemu.socket_wire import SocketWire
from tests.wire import MAC

ADDRESS = "0000:00:03.0"


class Page:
    """A huge page that is none."""

    def __init__(self, name: str) -> None:
        pass

    def guard(self) -> None:
        pass

    def memory(self, size: int) -> DmaMemory:
        return DmaMemory.anonymous(size)

    def close(self) -> None:
        pass


class Card:
    """A card in its slot: `wire.peer` is the other end of its wire."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.pulled = False
        self._ram, self.wire = Ram(), SocketWire()
        self.wire.peer.setblocking(False)
        self._machine = Machine(self.wire.netdev, self.wire.fileno(), MAC.hex(":"), self._ram)
        self._machine.set_up()
        self._raises = 0
        self._told, self._tell = pty.openpty()
        tty.setraw(self._tell)
        os.set_blocking(self._told, False)
        self.function = PciFunction(ADDRESS, folder)
        self._node = folder / "devices" / ADDRESS / "uio0"
        card, open_file = self, UioDevice._open

        class Port(UioPort):
            def read(self, offset: int, width: int) -> int:
                if card.pulled:
                    self.gone = True
                    return (1 << 8 * width) - 1
                return card.heard(card._machine.qtest.read_port(IO_BASE + offset, width))

            def write(self, offset: int, width: int, value: int) -> None:
                if card.pulled:
                    self.gone = True
                else:
                    card._machine.qtest.write_port(IO_BASE + offset, width, value & (1 << 8 * width) - 1)
                    card.heard(0)

        class CardPage(Page):
            def memory(self, size: int) -> DmaMemory:
                return DmaMemory(card._ram.view(DMA_BUS, DMA_SIZE), DMA_BUS)

        def open_node(device: UioDevice, path: Path, flags: int) -> int:
            if path != self._node:
                return open_file(device, path, flags)
            device._opened.append(os.dup(self._told))
            return device._opened[-1]

        patch.setattr(UioDevice, "_open", open_node)
        patch.setattr("asyncnic.devices.uio.device.UioPort", Port)
        patch.setattr("asyncnic.devices.uio.device.HugePage", CardPage)
        patch.setattr(PciFunction, "uio", property(lambda function: None if card.pulled else card._node))
        asyncio.get_running_loop().add_reader(self._machine.qtest.fileno(), self._drain)

    async def open(self, options: object) -> UioDevice:
        """As `uio.open_device` does."""
        return UioDevice(self.function, self._node, 1 << 20)

    def heard(self, value: int) -> int:
        """Tell of an interrupt line that has risen; `value` is given back."""
        if self._machine.qtest.raises != self._raises:
            self._raises = self._machine.qtest.raises
            if self._tell >= 0:
                os.write(self._tell, b"\1\0\0\0")
        return value

    def _drain(self) -> None:
        self._machine.qtest.drain()
        self.heard(0)

    def unbind(self) -> None:
        """Take the driver away: what is open gives EIO."""
        os.close(self._tell)
        self._tell = -1

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._machine.qtest.fileno())
        if self._tell >= 0:
            self.unbind()
        os.close(self._told)
        self._machine.close()
        self.wire.close()
        self.wire.peer.close()
        self._ram.close()
