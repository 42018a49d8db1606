"""DMA memory from huge pages: contiguous, below 4 GiB, and never moved (fact sheet 12.5).

The chip writes to physical addresses, so the pages must not be given to anyone else while it may still do so, not
even when this process is killed. A killed process loses its mappings first and its files later, in an order that the
kernel does not promise. So the pages belong to a file in memory that is opened twice, once before and once after the
device's own file: whichever way the files are closed, one of the two outlives the device's, whose release takes the
chip off the bus.
"""

import ctypes
import mmap
import os
import struct

from asyncnic.errors import DeviceError, PrivilegeError
from asyncnic.pcnet32.memory import DmaMemory

HUGE_PAGE = 1 << 21
_LIMIT = 1 << 32
_TRIES = 32
_FRAME_NUMBER = (1 << 55) - 1
_PRESENT = 1 << 63
_ENTRY = struct.Struct("<Q")
_RESERVE = "reserve some as root: sysctl vm.nr_hugepages=8"


class HugePage:
    """One huge page that the chip can reach. `guard` opens its file once more, after the device's own was opened.

    Raises:
        DeviceError: no huge page is free, or none lies below 4 GiB.
        PrivilegeError: physical addresses are hidden from us.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._files: list[int] = []
        rejected: list[tuple[int, mmap.mmap]] = []
        try:
            for _ in range(_TRIES):
                file, pages = self._take()
                rejected.append((file, pages))
                bus = self._bus_address(pages)
                if bus + HUGE_PAGE <= _LIMIT:
                    rejected.pop()
                    break
            else:
                raise DeviceError(f"{name}: no huge page below 4 GiB: {_RESERVE} at boot")
        finally:
            for unusable, unusable_pages in rejected:
                unusable_pages.close()
                os.close(unusable)
        pages.madvise(mmap.MADV_DONTFORK)
        self._files.append(file)
        self._pages = pages
        self.bus = bus

    def memory(self, size: int) -> DmaMemory:
        """The page as DMA memory of at least `size` octets.

        Raises:
            DeviceError: a huge page is too small for that.
        """
        if size > HUGE_PAGE:
            raise DeviceError(
                f"{self._name}: the rings and buffers need more than a huge page: use a smaller --tx-ring"
            )
        return DmaMemory(memoryview(self._pages), self.bus)

    def guard(self) -> None:
        """Open the page's file a second time; call it when the device's file is open."""
        self._files.append(os.open(f"/proc/self/fd/{self._files[0]}", os.O_RDWR | os.O_CLOEXEC))

    def close(self) -> None:
        """Give the page back, once nobody has a view of it. Idempotent."""
        while self._files:
            os.close(self._files.pop())

    def _take(self) -> tuple[int, mmap.mmap]:
        file = os.memfd_create("asyncnic-dma", os.MFD_CLOEXEC | os.MFD_HUGETLB | os.MFD_HUGE_2MB)
        try:
            os.ftruncate(file, HUGE_PAGE)
            pages = mmap.mmap(file, HUGE_PAGE)
        except OSError as error:
            os.close(file)
            raise DeviceError(f"{self._name}: no huge page is free ({error.strerror}): {_RESERVE}") from None
        pages[0] = 0  # the page is there from its first use on
        return file, pages

    def _bus_address(self, pages: mmap.mmap) -> int:
        """Physical address of the page, from /proc/self/pagemap."""
        view = ctypes.c_char.from_buffer(pages)
        virtual = ctypes.addressof(view)
        del view
        try:
            with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
                entry: int = _ENTRY.unpack(os.pread(pagemap.fileno(), 8, virtual // mmap.PAGESIZE * 8))[0]
        except PermissionError:
            entry = 0
        frame = entry & _FRAME_NUMBER
        if not entry & _PRESENT or not frame:
            raise PrivilegeError(f"{self._name}: physical addresses are hidden: run as root (CAP_SYS_ADMIN)")
        return frame * mmap.PAGESIZE
