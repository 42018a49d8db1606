"""`asyncnic explain` on snapshots of known contents: what it says, what it draws, and what it refuses."""

from pathlib import Path

import pytest

from asyncnic.cli import main
from asyncnic.recorder.snapshot import save
from tests.recorder.recordings import recording


def test_the_story_is_told_in_ten_lines_at_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(save(recording(), tmp_path))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 10
    assert "109,800 frames were offered, 49,800 delivered, 60,000 dropped" in lines[1]


@pytest.mark.parametrize(("suffix", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_it_is_drawn_too(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, begins: bytes) -> None:
    plot = tmp_path / f"a.{suffix}"
    assert main(["explain", "--plot", str(plot), str(save(recording(), tmp_path))]) == 0
    assert plot.read_bytes().startswith(begins)


def test_a_plot_that_nobody_can_draw_is_refused_before_anything_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "--plot", "a.doc", str(save(recording(), tmp_path))]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("asyncnic: --plot a.doc: ")


def test_a_directory_that_is_no_snapshot_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert str(tmp_path) in err
