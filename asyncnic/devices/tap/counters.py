"""What a TAP was offered, added up over its attachments from two witnesses: the kernel's counters of the interface, and
those of the lanes' programs. Pure: both are read elsewhere.

The interface counts what its reader has read (tx_packets) and what was dropped on the way to it (tx_dropped). The
programs say lane by lane, and rule by rule, what they dropped, which is in tx_dropped too. What they do not know of
was dropped by the kernel itself.
"""


class TapCounters:
    """Counters in frames since the first attachment; they only grow.

    Attributes:
        packets: frames that were read.
        dropped_beside: frames that the kernel dropped and no program did.
    """

    __slots__ = ("_before", "_zero", "dropped_beside", "packets")

    def __init__(self) -> None:
        self.packets = 0
        self.dropped_beside = 0
        self._before = (0, 0)
        self._zero = (0, 0, 0)

    def attached(self, packets: int, dropped: int, by_programs: int) -> None:
        """A new attachment: the interface's counters and the programs' drops as they stood at its beginning."""
        self._before = (self.packets, self.dropped_beside)
        self._zero = (packets, dropped, by_programs)

    def update(self, packets: int, dropped: int, by_programs: int) -> None:
        """A reading of both. `by_programs` is read last, so it may have drops that `dropped` has not yet, and never the
        other way round: the difference is what the kernel has dropped itself, at least.
        """
        self.packets = self._before[0] + packets - self._zero[0]
        beside = self._before[1] + dropped - self._zero[1] - (by_programs - self._zero[2])
        self.dropped_beside = max(self.dropped_beside, beside)

    def lost(self, read: int) -> None:
        """The interface is gone with its counters; of this attachment `read` frames were read."""
        self.packets = self._before[0] + read
