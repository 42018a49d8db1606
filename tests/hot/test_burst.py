"""A burst is the same in both forms: iterated, said of, doubted."""

import importlib
from types import ModuleType

import pytest

from asyncnic.errors import TakenError
from asyncnic.hot import burst as text

compiled = importlib.import_module("asyncnic.hot._burst")
FORMS = [text, compiled]
MEMORY = memoryview(b"aabbbcccc")


class Clock:
    """Ticks by one at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("deadline", "taken"), [(100.0, 3), (2.0, 2), (0.0, 1)])
def test_it_is_iterated_to_its_end_or_deadline(form: ModuleType, deadline: float, taken: int) -> None:
    burst = form.Burst(MEMORY, [0, 2, 5], [2, 3, 4], deadline, Clock())
    assert not burst.said
    assert [bytes(frame) for frame in burst] == [b"aa", b"bbb", b"cccc"][:taken]
    assert (burst.taken, burst.said, len(burst)) == (taken, True, 3)
    assert [bytes(frame) for frame in burst] == [b"aa", b"bbb", b"cccc"][taken : taken + 1 if deadline < 9 else 3]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("said", "taken"), [(0, 0), (2, 2), (3, 3), (4, 3), (-1, 3), ("two", 3)])
def test_what_a_stack_says_is_doubted(form: ModuleType, said: object, taken: int) -> None:
    burst = form.Burst(MEMORY, [0, 2, 5], [2, 3, 4], 1.0, Clock())
    assert form.frames_taken(burst, 3) == 0
    assert form.frames_taken(burst, 3, 3) == 3
    burst.taken = said
    assert form.frames_taken(burst, 3) == taken
    if said in (0, 2, 3):
        form.check_taken(burst, 3)
    else:
        with pytest.raises(TakenError):
            form.check_taken(burst, 3)
