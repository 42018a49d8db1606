"""How many frames a burst may have so that the event loop stays in time: the rule behind `--rx-budget auto`.

What is held is the loop's lag, that is, how late a timer's coroutine runs. A timer that comes due during a burst waits
for that burst to end, for the one that stands before it in the loop's queue and, on asyncio's own loop, for one more
between its callback and its coroutine. So the lag stays under the target where a turn of the loop (a burst, and
whatever else runs between two bursts) takes a third of it:

    budget = (target / 3 - others) / cost

`cost` is what a frame took from its reading off the wire to the return of its handler, `others` what ran between two
bursts. Both are running averages. At every burst the cost follows a rise by half of it, but at most to the double: a
process that loses its CPU for a while in one burst does not forget what frames cost. It follows a fall by an eighth.
The others, averaged more slowly, never leave the burst less than a quarter of the turn: lag that they cause is not
cured by starving the wire.

`rx_time_budget` works on as it did, and the smaller of the two ends a burst. It looks at the clock within the burst,
so it bounds the single burst in which frames suddenly cost more; but it knows neither the others nor the reading off
the wire, it cannot stop a stack that does not look at the deadline, and a target below it has to be held from here.

Pure: the times are arguments. It is not the knob (`Knobs.rx_budget` is, and holds the budget in force), and it cannot
hold a target that a single frame exceeds: the budget is then 1.
"""

TURNS = 3
"""Turns of the loop that a timer's coroutine waits, at worst."""
LEAST_SHARE = 0.25
"""The part of a turn that bursts have whatever the others take."""
RISE, FALL, DRIFT = 1 / 2, 1 / 8, 1 / 16
"""How far an average goes towards a sample: the cost to one above and to one below it, the others to any."""
STEEPEST = 2.0
"""The most by which the cost rises at once, as a factor."""


class BudgetControl:
    """The frames that the next burst may have.

    Args:
        limit: the largest budget that makes sense: descriptors of the ring, 1 or more.
    """

    __slots__ = ("_cost", "_ended", "_limit", "_others")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._cost = 0.0
        self._others = 0.0
        self._ended: float | None = None

    def left(self, begun: float, ended: float, taken: int, target: float) -> int:
        """Learn from a burst that was just left, and return the budget of the next one, from 1 to the limit.

        Args:
            begun: when the burst's frames began to be read, in monotonic seconds.
            ended: when the burst was left.
            taken: frames that the stack took, 1 or more.
            target: the lag to hold, in seconds.
        """
        if self._ended is not None:
            # Capped: that something took longer than the target once says nothing about the turns to come.
            others = min(begun - self._ended, target)
            self._others += DRIFT * (others - self._others)
        self._ended = ended
        cost = (ended - begun) / taken
        known = self._cost or cost
        followed = known + (RISE if cost > known else FALL) * (cost - known)
        self._cost = min(followed, STEEPEST * known)
        turn = target / TURNS
        room = max(turn - self._others, turn * LEAST_SHARE)
        if room >= self._cost * self._limit:
            return self._limit
        return max(1, int(room / self._cost))

    def idle(self) -> None:
        """The loop is about to wait: what passes until the next burst is nobody's time."""
        self._ended = None
