"""A queue that somebody counts is read as far as it is known to hold frames, and what is read is told."""

from array import array

import pytest

from asyncnic import hot
from asyncnic.hot.queue import PATIENCE, QueueReader
from asyncnic.settings.knobs import Knobs
from tests.pcnet32.model.test_receive import OTHER, armed
from tests.pcnet32.rig import frame, wire

FORMS = [hot.choose(QueueReader)]  # it reads by a reader of its own form, which the chip has chosen


class Queue:
    """Frames that wait, with a counter at the door; it notes every time that it is asked."""

    def __init__(self, form: type[QueueReader], knobs: Knobs | None = None, observes: bool = True) -> None:
        self.rig = armed(64)
        self.words = memoryview(array("Q", [0, 0]))
        self.waiting: list[bytes] = []
        self.asked = 0
        self.observed: list[tuple[int, bool]] = []
        self.observes = observes
        self.queue = form(self.rig.chip, knobs or Knobs(), self.observe, LookupError)
        self.queue.take = self.take
        self.queue.count_with(self.words, 0, 1)

    def put(self, *frames: bytes) -> None:
        self.waiting += frames
        self.words[0] += len(frames)

    def take(self, view: memoryview) -> int | None:
        self.asked += 1
        return wire(self.waiting.pop(0))(view) if self.waiting else None

    def observe(self, taken: int, silent: bool) -> bool:
        self.observed.append((taken, silent))
        return self.observes


@pytest.mark.parametrize("form", FORMS)
def test_what_is_counted_is_read_and_nothing_more_is_asked(form: type[QueueReader]) -> None:
    queue = Queue(form)
    for count in (1, 5, 3):
        queue.put(*[frame(60)] * count)
        asked, left = queue.asked, queue.words[1]
        assert queue.queue.poll(64) == count
        settled = queue.asked - asked
        assert (queue.words[1] - left, queue.queue.waiting()) == (count, 0)
        if count == 3:  # by now the chip knows its descriptors
            assert settled == 3
    assert queue.observed == []


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_queue_is_asked_only_now_and_then(form: type[QueueReader]) -> None:
    queue = Queue(form)
    queue.put(frame(60))
    assert queue.queue.poll(64) == 1
    asked = queue.asked
    for _ in range(PATIENCE):
        assert queue.queue.poll(64) == 0
    assert queue.asked == asked
    queue.waiting.append(frame(60))  # from before the count began
    assert queue.queue.poll(64) == 1
    assert queue.asked > asked


@pytest.mark.parametrize("form", FORMS)
def test_a_wire_that_is_not_silent_is_observed_until_it_calms(form: type[QueueReader]) -> None:
    queue = Queue(form, observes=False)
    queue.put(*[frame(60)] * 8)
    assert queue.queue.poll(4) == 4
    assert queue.queue.poll(8) == 4
    assert queue.observed == [(4, False), (4, True)]
    queue.observes = True
    queue.put(frame(60))
    queue.queue.poll(8)
    queue.put(frame(60))
    queue.queue.poll(8)
    assert queue.observed == [(4, False), (4, True), (1, True)]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_usual_goes_the_chips_own_way_and_is_counted(form: type[QueueReader]) -> None:
    queue = Queue(form)
    queue.put(frame(60), frame(2046), frame(60), frame(60, to=OTHER), frame(60))
    assert queue.queue.poll(64) == 5
    counters = queue.rig.chip.counters
    assert (counters.read, counters.stored, counters.filtered) == (5, 4, 1)
    assert queue.words[1] == 5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("overload", ["leave", "drain"])
def test_a_full_ring_leaves_or_drains(form: type[QueueReader], overload: str) -> None:
    queue = Queue(form, Knobs(overload=overload))
    queue.put(*[frame(60)] * 70)
    taken = sum(queue.queue.poll(100) for _ in range(2))
    assert taken == queue.words[1] == (64 if overload == "leave" else 70)
    assert len(queue.waiting) == 70 - taken
    assert queue.rig.chip.counters.missed == (0 if overload == "leave" else 6)


@pytest.mark.parametrize("form", FORMS)
def test_a_broken_wire_is_what_its_owner_makes_of_it(form: type[QueueReader]) -> None:
    def broken(view: memoryview) -> int | None:
        raise OSError(77, "gone")

    queue = Queue(form)
    queue.queue.take = broken
    with pytest.raises(LookupError, match="gone"):
        queue.queue.poll(4)
    queue.queue.take = None
    assert queue.queue.poll(4) == 0
