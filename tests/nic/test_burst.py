"""A burst by itself: what iterating it takes, when it ends early, and what a stack may say of it."""

import pytest

from asyncnic.nic.burst import Burst, TakenError, check_taken, frames_taken

FRAMES = [b"a" * 60, b"b" * 61, b"c" * 1514]


def burst(ticks: list[float] | None = None, deadline: float = 10.0) -> Burst:
    """A burst of `FRAMES` with gaps between them, on a clock that shows `ticks` in turn."""
    memory = bytearray(8192)
    offsets = [7, 2048, 4096]
    for offset, frame in zip(offsets, FRAMES, strict=True):
        memory[offset : offset + len(frame)] = frame
    clock = iter(ticks or [0.0] * 9)
    return Burst(memoryview(memory), offsets, [len(frame) for frame in FRAMES], deadline, lambda: next(clock))


def test_iterating_yields_each_frame_and_takes_it_before_it_is_worked_on() -> None:
    one = burst()
    assert (len(one), one.taken, one.said) == (3, 0, False)
    seen = [(bytes(frame), one.taken) for frame in one]
    assert seen == [(frame, number) for number, frame in enumerate(FRAMES, 1)]
    assert one.said


def test_the_deadline_ends_it_after_the_frame_at_which_it_has_passed() -> None:
    one = burst([1.0, 10.0, 10.5], deadline=10.0)
    assert len(list(one)) == one.taken == 2
    assert [bytes(frame) for frame in one] == [FRAMES[2]]


def test_a_handler_that_raises_has_taken_its_frame() -> None:
    one = burst()
    with pytest.raises(ZeroDivisionError):
        for _ in one:
            raise ZeroDivisionError
    assert frames_taken(one, 3) == 1


@pytest.mark.parametrize("unsaid", [0, 3])
def test_a_burst_of_which_nothing_was_said_is_taken_as_its_end_says(unsaid: int) -> None:
    assert frames_taken(burst(), 3, unsaid) == unsaid


def test_beginning_to_iterate_is_saying_something() -> None:
    one = burst()
    next(iter(one))
    assert frames_taken(one, 3, unsaid=3) == 1


@pytest.mark.parametrize(
    ("said", "problem"),
    [(-1, "negative"), (4, "too high: the burst has 3 frames"), ("2", "is a str"), (2.0, "is a float"), (None, "None")],
)
def test_what_cannot_be_is_refused_and_counts_as_all(said: object, problem: str) -> None:
    one = burst()
    one.taken = said  # type: ignore[assignment]
    with pytest.raises(TakenError, match=problem):
        check_taken(one, 3)
    assert frames_taken(one, 3) == 3


@pytest.mark.parametrize("said", [0, 2, 3])
def test_any_number_of_its_frames_is_taken_at_its_word(said: int) -> None:
    one = burst()
    one.taken = said
    check_taken(one, 3)
    assert frames_taken(one, 3, unsaid=1) == said
    assert [bytes(frame) for frame in one] == FRAMES[said:]
