"""A card played by hand on a transmit ring, whose frames it takes as they stand."""

from asyncnic import hot
from asyncnic.hot.transmit import TransmitSlots
from asyncnic.pcnet32.memory import DmaMemory

RING = 4096
OWN, ERR = 1 << 31, 1 << 30


class Card:
    """A ring of `size` descriptors, filled by one form of the hot path (`kind`; None: the one that runs).

    `busy`: it takes nothing when it is kicked.
    """

    def __init__(self, size: int = 64, kind: type[TransmitSlots] | None = None) -> None:
        self.memory = DmaMemory.anonymous(RING + 16 * size + 2048 * size)
        self.words = self.memory.words[RING // 4 : RING // 4 + 4 * size]
        self.slots = (kind or hot.choose(TransmitSlots))(
            self.memory.octets, self.memory.words, self.memory.bus, RING // 4, RING + 16 * size, size
        )
        self.slots.disarm_all()
        self.slots.open = True
        self.slots.tell = self._told
        self.size = size
        self.next = 0
        self.busy = False
        self.kicks = 0
        self.sent: list[bytes] = []

    def _told(self) -> None:
        self.kicks += 1
        if not self.busy:
            self.take()

    def take(self) -> list[bytes]:
        """Send what the card owns; all that it has ever sent."""
        while self.words[4 * self.next + 1] & OWN:
            self.finish()
        return self.sent

    def finish(self, error: int = 0) -> None:
        """Return the next descriptor: sent, or with an error in TMD2."""
        word = 4 * self.next
        address, status = self.words[word], self.words[word + 1]
        start = address - self.memory.bus
        if not error:
            self.sent.append(bytes(self.memory.octets[start : start + 4096 - (status & 0xFFF)]))
        self.words[word + 2] = error
        self.words[word + 1] = status & ~OWN | (ERR if error else 0)
        self.next = (self.next + 1) % self.size
