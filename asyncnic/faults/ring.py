"""Faults of a receive ring: what a chip in software has just handed back is changed, taken back, or held back.

It looks at the ring's words before and after the chip has written them, and knows nothing of frames or registers. The
driver finds what it finds: which of its own reasons a garbled descriptor is lost by is its business, and is counted
there. A descriptor that is held back is the card's until then, and its frame in flight.
"""

import random

from asyncnic.pcnet32.descriptors import BUFF, ENP, ERR, OWN, STP, InitBlock
from asyncnic.pcnet32.memory import DmaMemory

_WHOLE = STP | ENP
_ENDS = (ENP, ERR, BUFF, ENP | ERR, ENP | BUFF | ERR, ENP | STP)
"""What ends a frame: so that a descriptor of garbage is one frame's place, as the chip has used it."""


class RingFaults:
    """The ring of one chip.

    Args:
        memory: where it is.
        chance: what decides.
        garbage, keep, late: the share of descriptors that each happens to.
    """

    def __init__(self, memory: DmaMemory, chance: random.Random, garbage: float, keep: float, late: float) -> None:
        self._memory = memory
        self._chance = chance
        self._shares = {"garbage": garbage, "keep": keep, "late": late}
        self.happened = {name: 0 for name, share in self._shares.items() if share}
        self._words = memory.words[:0]
        self._before: list[int] = []
        self._late: list[tuple[int, int]] = []  # descriptors, and their status as the chip has left them
        self.kept = 0
        """Frames that no descriptor will ever tell of, and no other reason either."""

    @property
    def held(self) -> int:
        """Frames in descriptors that are held back."""
        return len(self._late)

    def armed(self, address: int) -> None:
        """The chip has been told to take its init block (32 bits wide) at this bus address."""
        start = address - self._memory.bus
        block = InitBlock.unpack(self._memory.octets[start : start + InitBlock.SIZE_32])
        first = (block.rx_ring - self._memory.bus) // 4
        self._words = self._memory.words[first : first + 4 * block.rx_length]

    def forget(self) -> None:
        """The chip is reset: what is held back will never come."""
        self.kept += len(self._late)
        self._late.clear()
        self._words = self._memory.words[:0]

    def before(self) -> None:
        """The chip is about to write: what was held back until now comes."""
        for index, finished in self._late:
            self._words[4 * index + 1] = finished
        self._late.clear()
        self._before = self._words[1::4].tolist()

    def after(self) -> None:
        """The chip has written."""
        for index, (old, new) in enumerate(zip(self._before, self._words[1::4].tolist(), strict=True)):
            if not old & OWN or new & OWN or new & _WHOLE != _WHOLE:
                continue  # a frame of several descriptors is left alone
            for name, share in self._shares.items():
                if share and self._chance.random() < share:
                    self._strike(name, index, old, new)
                    break

    def _strike(self, name: str, index: int, old: int, new: int) -> None:
        self.happened[name] += 1
        status = 4 * index + 1
        if name == "garbage":
            self._words[status + 1] = self._chance.getrandbits(32)
            self._words[status] = self._chance.getrandbits(32) & ~OWN | self._chance.choice(_ENDS)
            return
        self._words[status] = old
        if name == "keep":
            self.kept += 1
        else:
            self._late.append((index, new))
