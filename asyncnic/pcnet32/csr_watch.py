"""Which CSR an access to the register window means: for those who look on between a driver and its chip.

It changes nothing of what passes, and knows nothing of what a register does.
"""

from asyncnic.pcnet32 import registers as reg

_RAP = {(reg.WIO_RAP, 2), (reg.DWIO_RAP, 4)}
_RESET = {(reg.WIO_RESET, 2), (reg.DWIO_RESET, 4)}


class CsrWatch:
    """Which CSR an access to the register window means, in whichever I/O mode (fact sheet section 2).

    The places of the two modes' registers differ by width where they overlap, so the mode need not be known. A write of
    32 bits to RDP that only switches the mode looks like one to the CSR selected; it carries 0 then.
    """

    __slots__ = ("_rap",)

    def __init__(self) -> None:
        self._rap = 0

    @property
    def selected(self) -> int:
        """The register that RAP points at."""
        return self._rap

    def selects(self, offset: int, width: int) -> bool:
        """Whether this access is to RAP."""
        return (offset, width) in _RAP

    def resets(self, offset: int, width: int) -> bool:
        """Whether a read here is a soft reset."""
        if (offset, width) not in _RESET:
            return False
        self._rap = 0
        return True

    def write(self, offset: int, width: int, value: int) -> int:
        """Follow a write. Returns the number of the CSR that it goes to, or -1."""
        if (offset, width) in _RAP:
            self._rap = value & reg.RAP_MASK
        elif offset == reg.WIO_RDP:
            return self._rap
        return -1
