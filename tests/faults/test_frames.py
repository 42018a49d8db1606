"""Faults of the wire without a wire: what each does to frames, what is held, and when it comes."""

import random

import pytest

from asyncnic.faults.frames import MOST_HELD, Pipeline
from asyncnic.faults.plan import plan


class Played:
    """A wire of numbered frames, and a clock that the test turns."""

    def __init__(self, *faults: str, frames: int) -> None:
        self.now = 0.0
        self.left = frames
        self.frames = frames
        self.pipeline = Pipeline(plan(faults).faults, random.Random(1), lambda: self.now)

    def read(self, view: memoryview) -> int:
        if not self.left:
            return 0
        view[:60] = (self.frames - self.left).to_bytes(4, "big") * 15
        self.left -= 1
        return 60

    def come(self, limit: int = 1 << 20) -> list[bytes]:
        """What comes out now."""
        self.pipeline.begin(self.read, limit)
        view = memoryview(bytearray(2048))
        found = []
        while size := self.pipeline.readinto(view):
            found.append(bytes(view[:size]))
        return found


def number(frame: bytes) -> int:
    return int.from_bytes(frame[:4], "big")


def test_dropped_frames_are_counted() -> None:
    wire = Played("drop=20%", frames=1000)
    assert len(wire.come()) == 1000 - wire.pipeline.dropped
    assert 150 < wire.pipeline.dropped < 250
    assert wire.pipeline.taken == 1000


def test_a_limit_is_one_of_frames_off_the_wire() -> None:
    wire = Played("drop=100%", frames=1000)
    assert wire.come(10) == []
    assert wire.pipeline.taken == wire.pipeline.dropped == 10


def test_one_bit_of_a_corrupt_frame_is_another() -> None:
    wire, sound = Played("corrupt=100%", frames=100), Played(frames=100)
    for bad, good in zip(wire.come(), sound.come(), strict=True):
        assert (int.from_bytes(bad) ^ int.from_bytes(good)).bit_count() == 1


def test_a_truncated_frame_keeps_its_header() -> None:
    lengths = {len(frame) for frame in Played("truncate=100%", frames=500).come()}
    assert min(lengths) == 14
    assert max(lengths) <= 60


def test_duplicates_follow_each_other() -> None:
    wire = Played("duplicate=100%", frames=50)
    assert [number(frame) for frame in wire.come()] == [index // 2 for index in range(100)]
    assert wire.pipeline.duplicated == 50


def test_delayed_frames_come_when_their_time_has_come() -> None:
    wire = Played("delay=10ms", frames=5)
    assert wire.come() == []
    assert wire.pipeline.held == 5
    wire.now = 0.0099
    assert wire.come() == []
    wire.now = 0.01
    assert [number(frame) for frame in wire.come()] == [0, 1, 2, 3, 4]
    assert wire.pipeline.held == 0


def test_no_more_is_held_than_may_be() -> None:
    wire = Played("delay=60s", frames=MOST_HELD + 100)
    wire.come()
    assert wire.pipeline.held == wire.pipeline.taken == MOST_HELD
    assert wire.left == 100


def test_frames_out_of_order_are_all_there_once() -> None:
    wire = Played("reorder=50%", frames=1000)
    found = [number(frame) for frame in wire.come()]
    wire.now = 1.0
    found += [number(frame) for frame in wire.come()]
    assert sorted(found) == list(range(1000))
    assert found != sorted(found)
    assert max(abs(place - one) for place, one in enumerate(found)) <= 4


def test_the_last_frame_out_of_order_comes_though_none_passes_it() -> None:
    wire = Played("reorder=100%", frames=1)
    assert wire.come() == []
    wire.now = 0.02
    assert len(wire.come()) == 1


def test_a_rate_leaves_frames_on_the_wire() -> None:
    wire = Played("rate=1000", frames=5000)
    total = 0
    for step in range(1001):
        wire.now = step * 0.001
        total += len(wire.come())
    assert total == pytest.approx(1010, abs=2)
    assert wire.pipeline.held == 0
    assert wire.left == 5000 - total


def test_faults_are_met_in_their_order() -> None:
    assert len(Played("duplicate=100%", "drop=100%", frames=10).come()) == 0
    wire = Played("drop=100%", "duplicate=100%", frames=10)
    assert wire.come() == []
    assert (wire.pipeline.dropped, wire.pipeline.duplicated) == (10, 0)
