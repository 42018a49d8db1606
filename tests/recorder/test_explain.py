"""What is said of recordings whose story is known."""

from pathlib import Path

import pytest

from asyncnic.errors import Failed
from asyncnic.recorder.explain import explain, read, rise
from asyncnic.recorder.snapshot import Recording, save
from tests.recorder.recordings import recording


def told(one: Recording, directory: Path) -> list[str]:
    return explain(read(save(one, directory)))


def test_a_storm_is_told_from_its_beginning(tmp_path: Path) -> None:
    what, balance, load, drops, work, lag, heads, advice = told(recording(), tmp_path)
    assert what == (
        "2026-11-29T21:33:26.000Z: tap:test0 (Am79C970A), asyncnic 1.0, stack inet, delivery direct; "
        "written because: frames dropped"
    )
    assert balance == (
        "in 5.9 s 109,800 frames were offered, 49,800 delivered, 60,000 dropped (54.6 %); every frame is accounted for"
    )
    assert load == ("at 21:33:24.9 offered rose from 2.0 k to 100.0 k frames/s within a second (100.0 k at most)")
    assert drops == "dropped at kernel (tap_queue_full) from 21:33:24.9 on, 60,000 frames, up to 60.0 k/s"
    assert work == (
        "the stack took 40.0 k frames/s at most, 8.4 a burst; 0.0 % of the bursts ended at rx_budget, "
        "15.3 % at rx_time_budget"
    )
    assert lag == "the event loop was at most 2 ms late, at 21:33:20.0"
    assert heads == (
        "the last 3 frames (0 ms) came from 192.0.2.1 66.7 %, 192.0.2.9 33.3 %; "
        "they ended as delivered 66.7 %, udp no_listener 33.3 %"
    )
    assert advice == "more was offered than one process takes: --workers share it, lanes choose what is not lost"


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (recording(50, 0), "the load did not jump: 2.0 k frames/s in the middle, 2.0 k at most"),
        (recording(50, 0), "nothing was dropped"),
        (recording(50, 0), "nothing to mend: what was offered was delivered"),
        (
            recording(3, 40),
            "look at the time that a frame costs in the stack: it is the limit; lanes choose what is not lost",
        ),
        (recording(knobs__rx_budget=16.0), "turned meanwhile: rx_budget 64 -> 16, last at 21:33:25.9"),
        (recording(device__up=0.0), "the device went down at 21:33:25.9"),
        (recording(device__up=0.0), "look at the device: the service takes it up again by itself when it is back"),
        (recording(device__resets=2.0), "the device was reset 2 times"),
        (recording(lag=0.8), "the event loop was at most 800 ms late, at 21:33:25.9"),
        (recording(lag=0.8), "look at what else runs on the event loop: stacks.txt says where it stood"),
        (
            recording(imbalance=-5.0),
            "look at the law itself: this is a fault of the service, and this directory is what its makers want",
        ),
        (
            recording(dropped__queue=90_000.0),
            "look at what takes frames behind --delivery queue: --delivery direct drops earlier, at less cost",
        ),
        (
            recording(dropped__driver=90_000.0),
            "look at the wire: the frames themselves are bad (asyncnic stats, receive errors)",
        ),
    ],
)
def test_each_thing_that_can_be_said(tmp_path: Path, one: Recording, line: str) -> None:
    lines = told(one, tmp_path)
    assert line in lines
    assert len(lines) <= 10


def test_a_law_that_does_not_hold_is_said_first_of_all(tmp_path: Path) -> None:
    assert "-5 frames are NOT accounted for" in told(recording(imbalance=-5.0), tmp_path)[1]


@pytest.mark.parametrize(
    ("rates", "at"),
    [
        ([], None),
        ([9e9], None),
        ([10.0, 990.0], None),
        ([10.0, 1000.0], 1),
        ([500.0, 400.0, 1400.0], 2),
        ([4e4, 5e4], None),
    ],
)
def test_where_the_load_rises(rates: list[float], at: int | None) -> None:
    assert rise(rates) == at


def test_what_is_no_snapshot_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="No such file or directory: name a directory that `asyncnic snapshot` made"):
        read(tmp_path / "nowhere")
    path = save(recording(), tmp_path)
    (path / "counters.csv").write_text("time,offered\n2026-11-29T21:33:20.000Z,1\n")
    with pytest.raises(Failed, match="fewer than two readings"):
        read(path)
    for name, text in (("counters.csv", "time\nnow,then\n"), ("counters.csv", ""), ("snapshot.json", "[]")):
        damaged = save(recording(), tmp_path / name / str(len(text)))
        (damaged / name).write_text(text)
        with pytest.raises(Failed, match="no snapshot, or a damaged one"):
            read(damaged)
