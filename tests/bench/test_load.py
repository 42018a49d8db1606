"""The load generator offers exactly what it says: its schedule by made-up time, its counts by a TAP's own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.bench import wires
from asyncnic.bench.load import CATCH_UP, IMIX, MAX_SEGMENTS, LoadError, Mix, Schedule
from tests.bench.conftest import BareTap


def play(schedule: Schedule, stall_at: float = -1.0, stall: float = 0.0) -> list[tuple[float, int]]:
    """Run a schedule on a made-up clock; the (time, size) of every batch."""
    now, sent, batches = 0.0, 0, []
    while size := schedule.due(sent, now):
        now += max(0.0, schedule.wait(sent, size, now))
        if 0 <= stall_at <= now:
            now, stall_at = now + stall, -1.0
        sent += size
        schedule.went(now)
        batches.append((now, size))
        now += 1e-9
    return batches


@given(rate=st.floats(1, 2e6), count=st.integers(0, 20_000))
def test_paced_batches_sum_to_the_count_and_never_run_ahead(rate: float, count: int) -> None:
    sent = 0
    for now, size in play(Schedule(count, None, rate)):
        sent += size
        assert sent <= now * rate * (1 + 1e-9) + 1.001
        assert sent > now * rate - 1 - 1e-3 - rate * 1e-6
    assert sent == count


def test_single_datagrams_at_a_low_rate() -> None:
    batches = play(Schedule(100, None, 1000.0))
    assert [size for _now, size in batches] == [1] * 100
    assert batches[-1][0] == pytest.approx(0.099)


def test_the_last_batch_is_partial() -> None:
    assert [size for _now, size in play(Schedule(130, None, None))] == [64, 64, 2]


def test_count_and_seconds_make_the_rate() -> None:
    schedule = Schedule(1_000_000, 30.0, None)
    assert schedule.rate == pytest.approx(33_333.333)
    assert schedule.batch == 16


def test_a_stall_is_made_up_without_a_burst() -> None:
    batches = play(Schedule(10_000, None, 100_000.0), stall_at=0.05, stall=0.02)
    times = [now for now, _size in batches]
    after = [now for now in times if now >= 0.07]
    rate = 50 * (len(after) - 1) / (after[-1] - after[0])
    assert sum(size for _now, size in batches) == 10_000
    assert rate < CATCH_UP * 100_000 * 1.01
    assert times[-1] == pytest.approx(0.1, abs=0.001)


def test_flat_out_ends_with_the_time() -> None:
    schedule = Schedule(None, 2.0, None)
    assert schedule.due(10**9, 1.999) == MAX_SEGMENTS
    assert schedule.due(10**9, 2.0) == 0


@pytest.mark.parametrize(
    ("count", "seconds", "rate"),
    [(None, None, None), (None, None, 5.0), (5, None, 0.0), (-1, None, None), (None, -1.0, 3.0)],
)
def test_nonsense_is_refused(count: int | None, seconds: float | None, rate: float | None) -> None:
    with pytest.raises(LoadError):
        Schedule(count, seconds, rate)


@given(batch=st.integers(1, 64), limit=st.integers(1, 64), cycles=st.integers(1, 5))
def test_a_mix_keeps_its_weights(batch: int, limit: int, cycles: int) -> None:
    weights = [weight for _size, weight in IMIX]
    mix, frames = Mix(weights, batch), [0] * len(weights)
    cycle = sum(weights) * max(1, batch // sum(weights))
    while sum(frames) < cycles * cycle:
        index, count = mix.take(limit)
        assert 1 <= count <= limit
        frames[index] += count
        mix.went(count)
    assert frames == [weight * cycles * cycle // sum(weights) for weight in weights]


def run_load(*arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "asyncnic.bench.load", wires.RECEIVER, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    "arguments",
    [
        ["--count", "301", "--rate", "2000"],
        ["--count", "12345", "--rate", "100000"],
        ["--count", "50001"],
        ["--count", "50001", "--plain"],
        ["--seconds", "0.1"],
        ["--count", "5003", "--frame", "1514"],
        ["--count", "5003", "--frame", "imix", "--flows", "7"],
        ["--count", "0"],
    ],
    ids=" ".join,
)
def test_the_count_is_the_interfaces_count(bare_tap: BareTap, arguments: list[str]) -> None:
    before = wires.counters(bare_tap.name)
    offered = run_load(*arguments)
    bare_tap.drain()
    change = wires.counters(bare_tap.name) - before
    assert change.transmitted + change.transmit_dropped == offered["datagrams"]
    if "--count" in arguments:
        assert offered["datagrams"] == int(arguments[1])


@pytest.mark.parametrize(("frame", "octets"), [("60", [60]), ("1514", [1514]), ("imix", [60, 590, 1514])])
def test_frames_have_the_size_asked_for(bare_tap: BareTap, frame: str, octets: list[int]) -> None:
    offered = run_load("--count", "120", "--rate", "100000", "--frame", frame)
    frames = bare_tap.drain()
    assert len(frames) == 120
    assert sorted({len(data) for data in frames}) == octets
    assert sum(len(data) for data in frames) == offered["octets"]


def test_every_flow_is_used(bare_tap: BareTap) -> None:
    run_load("--count", "640", "--flows", "10")
    ports = {data[34:36] for data in bare_tap.drain()}
    assert len(ports) == 10


def test_a_frame_too_small_for_the_stamp_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asyncnic.bench.load", wires.RECEIVER, "--count", "1", "--frame", "59"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "load: --frame 59: frames over IPv4 have 60..1514 octets here\n"
    assert done.stdout == ""
