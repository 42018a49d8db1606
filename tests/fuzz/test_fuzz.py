"""Each target holds for its seeds, for what is near them, and for a bounded run of the fuzzer."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.fuzz import run
from tests.fuzz.targets import TARGETS
from tests.trust import open_descriptors

SECONDS = 120
"""At most, of each target."""


@pytest.mark.parametrize("name", TARGETS)
def test_the_invariant_holds_for_seeds_and_what_is_near_them(
    record_property: Callable[[str, object], None], name: str
) -> None:
    TARGETS[name].trial(b"")
    before = open_descriptors()  # loop or server of all trials are there now
    chance = Random(1)
    for seed in TARGETS[name].seeds:
        TARGETS[name].trial(seed)
        for _ in range(5):
            changed = bytearray(seed)
            changed[chance.randrange(len(changed))] = chance.randrange(256)
            TARGETS[name].trial(bytes(changed[: chance.randrange(1, len(changed) + 1)]))
    record_property("tried", 1 + 6 * len(TARGETS[name].seeds))
    record_property("leaks", max(0, open_descriptors() - before))


@pytest.mark.heavy
@pytest.mark.parametrize("name", TARGETS)
def test_a_bounded_run_of_the_fuzzer_breaks_nothing(name: str, tmp_path: Path) -> None:
    trials, broken = run(name, SECONDS, tmp_path, TARGETS[name].trials)
    assert not broken, broken[-4000:]
    assert trials > len(TARGETS[name].seeds)
