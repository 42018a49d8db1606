"""A burst taken in parts, and one whose stack waits: what is said of the part holds for the whole."""

from asyncnic.nic.burst import Burst


def burst(frames: int) -> Burst:
    return Burst(memoryview(bytes(range(frames))), list(range(frames)), [1] * frames, 10.0, lambda: 0.0)


def test_parts_are_the_frames_in_order_and_what_is_said_of_them_holds() -> None:
    whole = burst(5)
    seen = []
    for most in (2, 2, 9):
        part = whole.narrowed(most)
        seen += [bytes(frame)[0] for frame in part]
        part.ends[0] = f"end of {len(seen)}"
        whole.took(part)
    assert seen == [0, 1, 2, 3, 4]
    assert whole.taken == 5
    assert whole.ends == {0: "end of 2", 2: "end of 4", 4: "end of 5"}


def test_a_part_that_was_not_taken_whole_comes_again() -> None:
    whole = burst(4)
    part = whole.narrowed(3)
    part.taken = 1
    whole.took(part)
    assert [bytes(frame)[0] for frame in whole.narrowed(3)] == [1, 2, 3]


def test_waiting_is_no_time_of_the_bursts() -> None:
    whole = burst(1)
    whole.pause(3.0)
    whole.pause(0.5)
    assert (whole.deadline, whole.paused) == (13.5, 3.5)
