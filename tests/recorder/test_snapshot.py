"""A snapshot's files, as others read them, and the directory that does not grow."""

import csv
import io
import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from asyncnic.recorder.snapshot import FILES, KEPT, files, packed, save, source_of, unpack
from tests.recorder.recordings import START, frame, recording


def test_the_frames_are_read_by_a_program_nobody_here_wrote(tmp_path: Path) -> None:
    path = tmp_path / "frames.pcapng"
    path.write_bytes(files(recording())["frames.pcapng"])
    fields = [part for name in ("frame.time_epoch", "frame.len", "ip.src", "frame.comment") for part in ("-e", name)]
    said = subprocess.run(
        ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "separator=|", *fields],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    first, second, third = (line.split("|") for line in said)
    assert first[:3] == ["1795988005.950000000", "60", "192.0.2.1"]
    assert first[3] == "lane bulk: delivered,dropped in the 100 ms before: kernel tap_queue_full 6000"
    assert second[3] == "lane bulk: delivered"
    assert third[2:] == ["192.0.2.9", "lane bulk: udp no_listener"]


def test_the_counters_are_a_table_without_what_was_always_zero() -> None:
    made = files(recording(calm=2, storm=1))["counters.csv"].decode()
    first, second, _ = csv.DictReader(io.StringIO(made))
    assert first["time"] == "2026-11-29T21:33:20.000Z"
    assert (first["offered"], second["offered"], second["lag"]) == ("200", "400", "0.002")
    assert "receive_errors.crc" not in first


def test_the_facts_say_who_sent_and_how_it_ended() -> None:
    facts = json.loads(files(recording())["snapshot.json"])
    assert (facts["cause"], facts["why"], facts["time"]) == ("drops", "frames dropped", "2026-11-29T21:33:26.000Z")
    assert facts["heads"] == {
        "kept": 3,
        "seconds": 0.0,
        "sources": {"192.0.2.1": 2, "192.0.2.9": 1},
        "ends": {"delivered": 2, "udp no_listener": 1},
    }
    assert facts["settings"]["stack"] == "inet"


@pytest.mark.parametrize(
    ("octets", "source"),
    [
        (frame(9), "192.0.2.9"),
        (frame(9)[:12] + b"\x81\x00\x00\x05" + frame(9)[12:], "192.0.2.9"),
        (bytes(6) + b"\2\0\0\0\0\7\x86\xdd" + bytes(8) + bytes(15) + b"\1" + bytes(16), "::1"),
        (bytes(6) + b"\2\0\0\0\0\7\x08\x06" + bytes(28), "02:00:00:00:00:07"),
        (frame(9)[:20], "02:00:00:00:00:09"),
        (b"", ""),
    ],
)
def test_who_sent_a_frame(octets: bytes, source: str) -> None:
    assert source_of(octets) == source


def test_without_heads_there_are_no_frames() -> None:
    made = files(replace(recording(), heads=None))
    assert json.loads(made["snapshot.json"])["heads"]["kept"] == 0
    assert len(made["frames.pcapng"]) < 150


def test_a_directory_keeps_the_last_ones_and_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    made = [save(recording(time_ns=START + at * 10**9), tmp_path) for at in range(KEPT + 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["notes", *(path.name for path in made[3:])])
    assert {path.name for path in made[-1].iterdir()} == set(FILES)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    one = recording()
    save(one, tmp_path)
    (tmp_path / one.name / "more").touch()
    with pytest.raises(OSError, match="not empty"):
        save(one, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [one.name]


def test_an_archive_becomes_the_directory_it_was_made_of(tmp_path: Path) -> None:
    one = recording()
    path = unpack(packed(one), tmp_path / "new")
    assert path == tmp_path / "new" / one.name
    assert {file.name: file.read_bytes() for file in path.iterdir()} == files(one)


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name in names:
            made.addfile(tarfile.TarInfo(name))
    return out.getvalue()


ONE = recording().name


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"nothing of the kind",
        archive("../snapshot.json"),
        archive(f"/{ONE}/snapshot.json"),
        archive(f"{ONE}/../../evil"),
        archive(f"{ONE}/snapshot.json"),
        archive(*(f"{ONE}/{name}" for name in FILES), f"{ONE}x/snapshot.json"),
        packed(recording())[:2000],
    ],
)
def test_an_archive_that_is_no_snapshot_writes_nothing(tmp_path: Path, bad: bytes) -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        unpack(bad, tmp_path)
    assert list(tmp_path.iterdir()) == []
