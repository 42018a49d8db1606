"""Memory that the driver and the chip both see.

The chip addresses it by 32-bit bus addresses, the driver by offsets; `bus` is the bus address of offset 0. This is
not an allocator: the driver lays out init block, rings and buffers itself (driver.py). Who owns the pages (an
anonymous map, huge pages, a guest's RAM) is the device's business.
"""

import mmap
from collections.abc import Callable


class DmaMemory:
    """A contiguous piece of memory with a bus address.

    Args:
        octets: a writable view of format "B", 16-byte aligned, its length a multiple of 8.
        bus: bus address of its first octet; the whole must lie below 4 GiB (pcnet32.md section 5).
        release: gives the pages back; called once by `close`.

    `words` is the same memory as native 32-bit words and `quads` as 64-bit words: one index operation a ring word,
    where `struct` costs twice as much. Descriptors are little-endian, and so must the host be.

    Raises:
        ValueError: the memory does not lie wholly below 4 GiB.
    """

    __slots__ = ("_release", "bus", "octets", "quads", "words")

    def __init__(self, octets: memoryview, bus: int, release: Callable[[], None] | None = None) -> None:
        if not 0 <= bus <= (1 << 32) - len(octets):
            raise ValueError(f"DMA memory at {bus:#x} does not lie below 4 GiB")
        self.octets = octets
        self.words = octets.cast("I")
        self.quads = octets.cast("Q")
        self.bus = bus
        self._release = release

    @classmethod
    def anonymous(cls, size: int, bus: int = 0x0010_0000) -> "DmaMemory":
        """Allocate `size` octets (rounded up to pages) of private memory for a chip that lives in this process."""
        pages = mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return cls(memoryview(pages), bus)

    def close(self) -> None:
        """Let go of the pages. Views handed out earlier must not be used after this."""
        if self._release is not None:
            self._release()
            self._release = None
