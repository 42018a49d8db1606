"""The flight recorder of a real service: a storm that writes itself down, a signal, a command, and what they say."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from asyncnic.recorder.snapshot import FILES
from tests.system.flood import flood
from tests.system.service import HOST, Run, asyncnic, program, wait_until
from tests.wire import make_tap

SERVICES = ("--service", "udp-echo:7", "--service", "udp-discard:9")
FLAT_OUT = 5_000_000


def only(directory: Path) -> Path:
    """The one snapshot in `directory`, once it is there."""
    return wait_until(lambda: next(directory.glob("asyncnic-*"), None), "a snapshot is there")


def explained(path: Path) -> list[str]:
    said = asyncnic("explain", str(path))
    assert (said.returncode, said.stderr) == (0, "")
    return said.stdout.splitlines()


def ends(path: Path) -> set[str]:
    """What is said of the frames of a snapshot: how each ended, without its lane."""
    fields = ("-T", "fields", "-e", "frame.comment")
    said = subprocess.run(
        ["tshark", "-n", "-r", str(path / "frames.pcapng"), *fields], capture_output=True, text=True, check=True
    ).stdout
    return {line.partition(",")[0].partition(": ")[2] for line in said.splitlines()}


@pytest.mark.parametrize("delivery", ["direct", "queue"])
def test_a_storm_is_written_down_and_explained(run: Run, tmp_path: Path, delivery: str) -> None:
    there = tmp_path / "snapshots"
    options = ("--snapshot-dir", str(there), "--delivery", delivery, "--tap-queue", "16")
    with run(*SERVICES, *options) as service:
        # One is given once there are two readings: then the load before the storm is known.
        assert asyncnic("snapshot", str(tmp_path / "calm"), "--control", service.control).returncode == 0
        with flood(FLAT_OUT):
            path = only(there)
        lines = explained(path)
        assert "written because: " in lines[0]
        assert " dropped at stage " in lines[0]
        assert lines[1].endswith("every frame is accounted for")
        assert " offered rose from " in lines[2]
        assert lines[3].startswith("dropped at ")
        facts = json.loads((path / "snapshot.json").read_bytes())
        assert facts["heads"]["kept"] == 4096
        assert facts["heads"]["sources"] == {"192.0.2.1": 4096} or len(facts["heads"]["sources"]) > 1
        assert service.settled()["snapshots"]["drops"] == 1
        assert "wrote a snapshot" in service.log


def test_a_command_gets_what_was_recorded_and_how_frames_ended(run: Run, tmp_path: Path) -> None:
    with run(*SERVICES) as service:
        program("ping", "-c", "1", HOST)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            for port in (9, 9, 4711):
                asker.sendto(b"?", (HOST, port))
        wait_until(lambda: service.stats()["stack"]["udp"]["no_listener"], "the last one is there")
        said = asyncnic("snapshot", str(tmp_path), "--control", service.control)
        assert (said.returncode, said.stderr) == (0, "")
        path = Path(said.stdout.strip())
        assert {file.name for file in path.iterdir()} == set(FILES)
        assert {"delivered", "udp delivered", "icmp echo_request", "udp no_listener", "arp request"} <= ends(path)
        assert "test_recorder" not in (path / "stacks.txt").read_text()
        assert "recorder.py" in (path / "stacks.txt").read_text()
        assert explained(path)[0].endswith("written because: asked for")
        assert service.settled()["snapshots"]["request"] == 1
        plot = tmp_path / "plot.svg"
        assert asyncnic("explain", str(path), "--plot", str(plot)).returncode == 0
        assert "<svg" in plot.read_text()


def test_a_signal_writes_one_and_a_directory_that_cannot_be_is_told(run: Run, tmp_path: Path) -> None:
    with run(*SERVICES, "--snapshot-dir", str(tmp_path / "kept")) as service:
        os.kill(service.process.pid, signal.SIGUSR2)
        assert explained(only(tmp_path / "kept"))[0].endswith("written because: SIGUSR2 was sent")
        assert service.settled()["snapshots"]["signal"] == 1
    (tmp_path / "file").touch()
    with run(*SERVICES, "--snapshot-dir", str(tmp_path / "file")) as service:
        os.kill(service.process.pid, signal.SIGUSR2)
        wait_until(lambda: "no snapshot" in service.log, "the failure is told")
        assert "name another --snapshot-dir" in service.log
        assert service.settled()["snapshots"]["failed"] == 1
    with run(*SERVICES) as service:
        os.kill(service.process.pid, signal.SIGUSR2)
        wait_until(lambda: "say where: --snapshot-dir DIR" in service.log, "it says what is missing")
        service.settled()


def test_a_device_that_goes_away_is_written_down(run: Run, tmp_path: Path) -> None:
    with run(*SERVICES, "--snapshot-dir", str(tmp_path)) as service:
        program("ping", "-c", "1", HOST)
        program("ip", "link", "delete", service.tap)
        lines = explained(only(tmp_path))
        assert lines[0].endswith("the device is lost, or its link is down")
        assert any(line.startswith("the device went down at ") for line in lines)
        service.tap_is_gone()
        make_tap(service.tap)
        wait_until(lambda: service.stats()["device"]["up"], "the device is back")


def test_with_several_workers_there_are_numbers_and_no_frames(run: Run, tmp_path: Path) -> None:
    with run(*SERVICES, "--workers", "2") as service:
        program("ping", "-c", "3", "-i", "0.2", HOST)
        said = asyncnic("snapshot", str(tmp_path), "--control", service.control)
        assert (said.returncode, said.stderr) == (0, "")
        path = Path(said.stdout.strip())
        assert json.loads((path / "snapshot.json").read_bytes())["heads"]["kept"] == 0
        assert explained(path)[1].endswith("every frame is accounted for")


def test_heads_can_be_switched_off(run: Run, tmp_path: Path) -> None:
    with run(*SERVICES, "--recorder-frames", "0") as service:
        program("ping", "-c", "1", HOST)
        said = asyncnic("snapshot", str(tmp_path), "--control", service.control)
        assert json.loads((Path(said.stdout.strip()) / "snapshot.json").read_bytes())["heads"]["kept"] == 0


def test_who_may_not_capture_gets_no_snapshot_either(run: Run, tmp_path: Path) -> None:
    with run(*SERVICES) as service:
        said = asyncnic("snapshot", str(tmp_path / "none"), "--url", service.url)
        assert said.returncode == 1
        assert "a snapshot is for the control socket" in said.stderr
        assert not (tmp_path / "none").exists()
