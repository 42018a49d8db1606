"""Faults of the wire: frames between it and the chip are lost, changed, doubled, held back.

It reads from what a device reads its wire with, and is read by the chip in its place. What is held here has come off
the wire and is nowhere else: `Pipeline.held` says so. When too much is held nothing more is taken: what comes waits on
the wire, and is lost there. It knows no chip and no descriptor.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence

from asyncnic.faults.plan import Fault
from asyncnic.hot.reader import Read

MOST_HELD = 4096
"""Frames held back, at most."""
LONGEST_FRAME = 65536
_PASSES = 4
"""Frames that pass one which is out of order, at most."""
_PATIENCE = 0.02
"""Seconds after which it comes though fewer have passed."""
_HEADER = 14
_BURST = 0.01
"""Seconds of its rate that a wire with a rate may give at once."""

Clock = Callable[[], float]


class Stage:
    """One fault that each frame meets. What it does with a frame it says in `happened`, counted once a frame.

    Args:
        share: of the frames that it happens to, 0 to 1.
        chance: where that comes from.
    """

    def __init__(self, share: float, chance: random.Random) -> None:
        self.share = share
        self.chance = chance
        self.happened = 0

    @property
    def held(self) -> int:
        """Frames that it holds back."""
        return 0

    def take(self, frame: bytes, now: float) -> Sequence[bytes]:
        """What comes out of it when `frame` goes in."""
        if self.chance.random() >= self.share:
            return (frame,)
        self.happened += 1
        return self.strike(frame, now)

    def strike(self, frame: bytes, now: float) -> Sequence[bytes]:
        """What comes out when it happens."""
        raise NotImplementedError

    def due(self, now: float) -> Sequence[bytes]:
        """Frames held back whose time has come."""
        return ()


class Drop(Stage):
    """Frames are lost."""

    def strike(self, frame: bytes, now: float) -> Sequence[bytes]:
        return ()


class Corrupt(Stage):
    """One bit is another."""

    def strike(self, frame: bytes, now: float) -> Sequence[bytes]:
        changed = bytearray(frame)
        changed[self.chance.randrange(len(changed))] ^= 1 << self.chance.randrange(8)
        return (bytes(changed),)


class Truncate(Stage):
    """The end is lost; the header is not."""

    def strike(self, frame: bytes, now: float) -> Sequence[bytes]:
        return (frame[: self.chance.randint(min(_HEADER, len(frame)), len(frame))],)


class Duplicate(Stage):
    """Frames come twice."""

    def strike(self, frame: bytes, now: float) -> Sequence[bytes]:
        return frame, frame


class Delay(Stage):
    """Every frame comes later by `seconds`."""

    def __init__(self, seconds: float, chance: random.Random) -> None:
        super().__init__(1.0, chance)
        self._seconds = seconds
        self._waiting: deque[tuple[float, bytes]] = deque()

    @property
    def held(self) -> int:
        return len(self._waiting)

    def strike(self, frame: bytes, now: float) -> Sequence[bytes]:
        self._waiting.append((now + self._seconds, frame))
        return ()

    def due(self, now: float) -> Sequence[bytes]:
        ready = []
        while self._waiting and self._waiting[0][0] <= now:
            ready.append(self._waiting.popleft()[1])
        return ready


class Reorder(Stage):
    """A frame lets others pass, for a while; one at a time."""

    def __init__(self, share: float, chance: random.Random) -> None:
        super().__init__(share, chance)
        self._late: bytes | None = None
        self._passes = 0
        self._until = 0.0

    @property
    def held(self) -> int:
        return int(self._late is not None)

    def take(self, frame: bytes, now: float) -> Sequence[bytes]:
        if self._late is None:
            return super().take(frame, now)
        self._passes -= 1
        if self._passes:
            return (frame,)
        late, self._late = self._late, None
        return frame, late

    def strike(self, frame: bytes, now: float) -> Sequence[bytes]:
        self._late, self._passes, self._until = frame, self.chance.randint(1, _PASSES), now + _PATIENCE
        return ()

    def due(self, now: float) -> Sequence[bytes]:
        if self._late is None or now < self._until:
            return ()
        late, self._late = self._late, None
        return (late,)


class Rate:
    """How many frames the wire may give: a bucket that fills with time."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * _BURST)
        self._tokens = self._most
        self._last: float | None = None
        self.refused = 0
        """Times that there was none to give."""

    def allows(self, now: float) -> bool:
        """Whether one more frame may come; it counts as taken by `take`."""
        if self._last is not None:
            self._tokens = min(self._most, self._tokens + (now - self._last) * self._rate)
        self._last = now
        if self._tokens < 1.0:
            self.refused += 1
            return False
        return True

    def take(self) -> None:
        """One frame came."""
        self._tokens -= 1.0


_STAGES: dict[str, type[Drop | Corrupt | Truncate | Duplicate | Delay | Reorder]] = {
    "drop": Drop,
    "corrupt": Corrupt,
    "truncate": Truncate,
    "duplicate": Duplicate,
    "delay": Delay,
    "reorder": Reorder,
}


class Pipeline:
    """A wire with faults: read by the chip, and reading the device's own wire.

    Args:
        faults: of the wire, in their order.
        chance: of all of them.
        clock: monotonic seconds.

    Attributes:
        taken: frames taken off the wire.
    """

    def __init__(self, faults: Sequence[Fault], chance: random.Random, clock: Clock) -> None:
        self._stages = [(one.name, _STAGES[one.name](one.amount, chance)) for one in faults if one.name in _STAGES]
        self._rates = [Rate(one.amount) for one in faults if one.name == "rate"]
        self._clock = clock
        self._out: deque[bytes] = deque()
        self._aside = memoryview(bytearray(LONGEST_FRAME))
        self._read: Read | None = None
        self._quota = 0
        self.taken = 0

    @property
    def held(self) -> int:
        """Frames that came off the wire and have not come out."""
        return len(self._out) + sum(stage.held for _, stage in self._stages)

    @property
    def dropped(self) -> int:
        """Frames lost."""
        return sum(stage.happened for _, stage in self._stages if isinstance(stage, Drop))

    @property
    def duplicated(self) -> int:
        """Frames that no wire gave."""
        return sum(stage.happened for _, stage in self._stages if isinstance(stage, Duplicate))

    def happened(self) -> dict[str, int]:
        """How often each fault happened, by its name."""
        found: dict[str, int] = {}
        for name, stage in self._stages:
            found[name] = found.get(name, 0) + stage.happened
        if self._rates:
            found["rate"] = sum(rate.refused for rate in self._rates)
        return found

    def begin(self, read: Read | None, limit: int) -> None:
        """From now on read the wire with `read` (None: not at all), at most `limit` frames of it."""
        self._read, self._quota = read, limit

    def readinto(self, view: memoryview) -> int:
        """As `Read`: one frame, as much of it as fits; its octets there, 0 when there is none.

        Raises:
            OSError: the wire is broken.
        """
        now = self._clock()
        self._release(now)
        while not self._out:
            if not self._take(now):
                return 0
        frame = self._out.popleft()
        size = min(len(frame), len(view))
        view[:size] = frame[:size]
        return size

    def _take(self, now: float) -> bool:
        """Take one frame off the wire; False: there is none, or none may come."""
        if self._read is None or not self._quota or self.held >= MOST_HELD:
            return False
        if not all(rate.allows(now) for rate in self._rates):
            return False
        size = self._read(self._aside)
        if not size:
            return False
        for rate in self._rates:
            rate.take()
        self._quota -= 1
        self.taken += 1
        self._pass_on(bytes(self._aside[:size]), 0, now)
        return True

    def _release(self, now: float) -> None:
        for place, (_, stage) in enumerate(self._stages):
            for frame in stage.due(now):
                self._pass_on(frame, place + 1, now)

    def _pass_on(self, frame: bytes, first: int, now: float) -> None:
        """Take `frame` through the stages from `first` on."""
        frames = [frame]
        for _, stage in self._stages[first:]:
            frames = [out for one in frames for out in stage.take(one, now)]
        self._out.extend(frames)
