"""How long to leave frames on the wire, so that a wake-up finds several: the rules behind `--rx-usecs`.

A wake-up costs what some ten frames cost. Where frames keep coming it is worth waiting after one, but only then:

- After a wake-up that found nothing there is no wait: the first frame after a silence interrupts at once.
- No wait is so long that more than half a receive ring comes meanwhile.
- `auto` waits where, at the rate of the last frames, `WORTH` of them come within the bound, and until `GOAL` have come.
  Whether that helps is seen from what comes of it. A wait after which fewer than `LEAST` are there, and a rate that
  falls when we wait, say that whoever sends waits for the answers: then it is tried again after a pause, the longer the
  more often it was in vain.

Pure: times are arguments. It waits for nothing and reads nothing (moderation.py does).
"""

LEAST, WORTH, GOAL = 8, 16, 64
"""Frames: see above."""
WINDOW = 0.05
"""Seconds over which a rate is taken."""
KEPT = 3 / 4
"""Of the rate without waits, what must come with them."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds until waits are tried again."""


class IntervalControl:
    """The wait until the next look.

    Args:
        room: descriptors of a receive ring, 1 or more.
    """

    __slots__ = ("_begun", "_frames", "_free", "_pause", "_room", "_until", "_wait")

    def __init__(self, room: int) -> None:
        self._room = max(1, room // 2)
        self._begun: float | None = None
        self._frames = 0
        self._free = 0.0  # frames a second in the last window without waits
        self._wait = 0.0
        self._pause = 0.0
        self._until = 0.0

    def fixed(self, found: int, waited: float, asked: float) -> float:
        """Seconds until the next look; 0: when the next frame interrupts.

        Args:
            found: frames that were found after a wait of `waited` seconds, 0: at an interrupt.
            asked: the longest wait; 0: none.
        """
        self.forget()
        if not found or asked <= 0.0:
            return 0.0
        if waited <= 0.0:
            return asked
        if found > self._room:
            return min(asked, waited * self._room / found)
        return min(asked, 2 * waited) if 2 * found < self._room else min(asked, waited)

    def automatic(self, now: float, found: int, waited: float, bound: float) -> float:
        """As `fixed`, learning from what was found at `now`, in seconds.

        Args:
            bound: the longest wait.
        """
        if self._begun is None:
            self._begin(now)
        else:
            self._frames += found
            elapsed = now - self._begun
            if waited > 0.0 and self._wait > 0.0 and 0 < found < LEAST:
                self._in_vain(now)
            elif elapsed >= WINDOW:
                self._learn(now, self._frames / elapsed, bound)
        return min(self._wait, bound) if found else 0.0

    def forget(self) -> None:
        """What was learnt holds no more: somebody else says how long to wait."""
        self._begun = None
        self._wait = self._pause = self._until = 0.0

    def _learn(self, now: float, rate: float, bound: float) -> None:
        if self._wait > 0.0 and rate < KEPT * self._free:
            self._in_vain(now)
            return
        if self._wait > 0.0:
            self._pause = 0.0
        else:
            self._free = rate
        worth = now >= self._until and rate * bound >= WORTH
        self._wait = min(bound, min(GOAL, self._room) / rate) if worth else 0.0
        self._begin(now)

    def _in_vain(self, now: float) -> None:
        self._wait = 0.0
        self._pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, 2 * self._pause))
        self._until = now + self._pause
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._begun, self._frames = now, 0
