"""When to write a snapshot without being asked: the conditions of a storm, judged over the last second.

Pure: readings and times are given. The conditions are those that the shipped alert rules have: frames dropped, a late
event loop, a law that does not hold, a device that went away. What is done about it is the recorder's.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW = 1.0
"""Seconds over which drops are counted."""
CALM = 10.0
"""Seconds without a condition after which it may begin again."""
FEWEST_DROPS = 100
"""Frames a window below which no share of them is a storm."""
OUT_OF_BALANCE = 3
"""Readings in a row whose law must fail."""

CAUSES = ("drops", "lag", "imbalance", "device")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a storm is seen by. Frames are counts since the start; `lag` is seconds, of the last interval."""

    offered: float
    dropped: Mapping[str, float]
    imbalance: float
    lag: float
    device_up: bool


class StormWatch:
    """Says when a storm begins.

    Args:
        drops: share of the frames offered, 0 to 1, that is a storm if one stage drops it; 0: never.
        lag: seconds that the event loop is late which are a storm; 0: never.
    """

    def __init__(self, drops: float, lag: float) -> None:
        self._drops = drops
        self._lag = lag
        self._window: deque[tuple[float, Reading]] = deque()
        self._standing: dict[str, float] = {}  # cause -> when it was last true
        self._unbalanced = 0
        self._was_up = False

    def judge(self, now: float, reading: Reading) -> tuple[str, str] | None:
        """The cause that begins with this reading and what there is to say of it; None: none does."""
        window = self._window
        window.append((now, reading))
        while len(window) > 2 and window[1][0] <= now - WINDOW:
            window.popleft()
        self._unbalanced = self._unbalanced + 1 if reading.imbalance else 0
        begun = None
        for cause, said in self._conditions(window[0][1], reading).items():
            if now - self._standing.get(cause, now - CALM) >= CALM and begun is None:
                begun = cause, said
            self._standing[cause] = now
        self._was_up = self._was_up or reading.device_up
        return begun

    def _conditions(self, first: Reading, last: Reading) -> dict[str, str]:
        """The causes that are true now, with what there is to say of them."""
        found: dict[str, str] = {}
        offered = last.offered - first.offered
        for stage, count in last.dropped.items():
            dropped = count - first.dropped.get(stage, 0.0)
            if self._drops and dropped >= max(FEWEST_DROPS, self._drops * offered):
                found["drops"] = f"{dropped:,.0f} of {offered:,.0f} frames dropped at stage {stage} within a second"
                break
        if self._lag and last.lag >= self._lag:
            found["lag"] = f"the event loop was {last.lag * 1000:,.0f} ms late"
        if self._unbalanced >= OUT_OF_BALANCE:
            found["imbalance"] = f"{last.imbalance:+,.0f} frames are not accounted for"
        if self._was_up and not last.device_up:
            found["device"] = "the device is lost, or its link is down"
        return found
