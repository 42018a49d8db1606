# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: annotation_typing=False
"""The driver's walk over whole frames of a receive ring: finished descriptors out, armed descriptors back.

One text, interpreted as it stands and compiled as `asyncnic.hot._ring`, with the C types of _ring.pxd. It knows style 2
descriptors that hold one whole frame each; where anything else stands at the ring's head it takes nothing, and
driver/receive_ring.py sees to it. It touches no register.
"""

from array import array

try:
    import cython
except ImportError:
    from asyncnic.hot import shadow as cython

if cython.compiled:
    from cython.cimports.asyncnic.hot.primitives import load32, store32

_OWN = 0x8000_0000
_FRAME = 0xC300_0000  # OWN, ERR, STP, ENP
_WHOLE = 0x0300_0000  # STP, ENP
_MCNT_MASK = 0xFFF
_LEAST = 60
_FCS = 4


class ReceiveSlots:
    """The descriptors of a receive ring as its driver takes frames out of them.

    Args:
        words: the ring, four 32-bit words a descriptor (style 2).
        offsets: of each descriptor's buffer in the DMA memory.
        armed: status word of a descriptor that is given to the card.
        most: octets of the longest frame that is no error.

    Attributes:
        head: the descriptor that the walk looks at next.
        span: frames last collected and not handed back.
        seen: frames (and what stood in a frame's place) that the walk has passed. Monotonic.
    """

    def __init__(self, words: memoryview, offsets: list[int], armed: int, most: int) -> None:
        self._words = words
        self._offsets = offsets
        self._armed = armed
        self._most = most
        self.size = len(offsets)
        self.head = 0
        self.span = 0
        self.seen = 0
        if not cython.compiled:
            self._zeros = memoryview(array("I", [0]) * self.size)
            self._all_armed = memoryview(array("I", [armed]) * self.size)

    def stands(self) -> bool:
        """Whether the descriptor at the head is no longer the card's."""
        word = 4 * self.head + 1
        return not (load32(cython.address(self._words[word])) if cython.compiled else self._words[word]) & _OWN

    def collect(self, limit: int) -> tuple[list[int], list[int]]:
        """Offsets and lengths of up to `limit` whole frames from the head on; none where something else stands there.

        Frames never wrap over the ring's end: those behind it come with the next call.
        """
        first = index = self.head
        end = min(first + limit, self.size)
        lengths: list[int] = []
        if cython.compiled:
            while index < end and load32(cython.address(self._words[4 * index + 1])) & _FRAME == _WHOLE:
                length = int(self._words[4 * index + 2] & _MCNT_MASK) - _FCS
                if length < _LEAST or length > self._most:
                    break
                lengths.append(length)
                index += 1
        else:
            status = self._words[4 * first + 1 : 4 * end : 4].tolist()
            for word, count in zip(status, self._words[4 * first + 2 : 4 * end : 4].tolist(), strict=True):
                length = (count & _MCNT_MASK) - _FCS
                if word & _FRAME != _WHOLE or not _LEAST <= length <= self._most:
                    break
                lengths.append(length)
        self.span = len(lengths)
        return self._offsets[first : first + self.span], lengths

    def leave(self, taken: int) -> None:
        """Hand the first `taken` of the frames last collected back. The rest is collected again."""
        if taken:
            self.seen += taken
            self.hand_back(taken)
        self.span = 0

    def hand_back(self, descriptors: int) -> None:
        """Give descriptors from the head on to the card: MCNT cleared, then OWN, in ring order (fact sheet 6.3)."""
        first, end = self.head, self.head + descriptors
        if end > self.size:
            self.hand_back(self.size - first)
            self.hand_back(end - self.size)
            return
        if cython.compiled:
            for index in range(first, end):
                self._words[4 * index + 2] = 0
            for index in range(first, end):
                store32(cython.address(self._words[4 * index + 1]), self._armed)
        else:
            self._words[4 * first + 2 : 4 * end : 4] = self._zeros[first:end]
            self._words[4 * first + 1 : 4 * end : 4] = self._all_armed[first:end]
        self.head = end & (self.size - 1)
