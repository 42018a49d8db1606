"""The chip as a driver sees it: a window of 32 octets of registers, and memory to share.

Both sides of the house meet here: `driver.Driver` works against a `Port`; `model.Am79C970A`, a PCI BAR and QEMU's qtest
socket each are one. Nothing of the two I/O modes is decided here: a port moves bits of the width it is asked for.
"""

from typing import Protocol

from asyncnic.pcnet32.memory import DmaMemory


class Port(Protocol):
    """Register window and DMA memory of one chip."""

    memory: DmaMemory

    def read(self, offset: int, width: int) -> int:
        """Read `width` octets (1, 2 or 4) at `offset` (0..31). All ones when the chip is gone or the width is wrong."""

    def write(self, offset: int, width: int, value: int) -> None:
        """Write `width` octets (1, 2 or 4) at `offset` (0..31)."""
