"""Workers on a real TAP: frames over all queues, deaths, knobs, a TAP that goes away. The law to the frame, always."""

import asyncio
import os
import signal
import subprocess

import pytest

from asyncnic.errors import DeviceError, Failed
from asyncnic.lanes.rules import DEFAULT_LANES
from asyncnic.service.workers.group import WorkerGroup, open_workers
from asyncnic.settings.load import load
from tests.service.workers.serving import (
    HOST,
    MAC,
    PATIENCE,
    make_shared_tap,
    send,
    until_delivered,
    until_restarted,
    workers,
)
from tests.wire import make_tap


async def test_frames_of_many_flows_reach_all_workers_and_one_sum(tap_name: str) -> None:
    make_shared_tap(tap_name)
    async with workers(tap_name, stack="inet") as group:
        await asyncio.to_thread(send, 600)
        await until_delivered(group, 600)
        parts = [worker.snapshot.counted.read for worker in group._workers if worker.snapshot is not None]
        assert len(parts) == 2
        assert min(parts) > 0
        nic = group.observed.nic
        assert nic.ledger().imbalance == 0
        assert nic.counters.delivered_frames == nic.ledger().delivered == sum(parts)
        assert sum(sum(ends.values()) for ends in group.observed.outcomes().values()) == nic.ledger().delivered
        assert nic.ring_descriptors()["rx"] == {
            "card": 768,
            "host": 0,
        }  # the first worker has a lane for control besides
        await group.refresh(True)
        assert len(nic.ring_words()["rx"]) == 256
        assert nic.registers()["CSR0"]


async def test_a_killed_worker_comes_back_and_its_frames_are_booked(tap_name: str) -> None:
    make_shared_tap(tap_name)
    async with workers(tap_name) as group:
        await asyncio.to_thread(send, 200)
        await until_delivered(group, 200)
        before = group.observed.nic.ledger()
        victim = group.pids[0]
        os.kill(victim, signal.SIGSTOP)
        await asyncio.to_thread(send, 200)  # what waits in the dead worker's queue is the next one's
        os.kill(victim, signal.SIGKILL)
        await until_restarted(group, 1)
        assert victim not in group.pids
        await until_delivered(group, before.delivered + 200 - group.observed.nic.ledger().dropped_at("driver"))
        after = group.observed.nic.ledger()
        assert after.imbalance == 0
        assert after.delivered >= before.delivered
        assert after.offered == before.offered + 200


async def test_a_worker_that_is_silent_is_replaced(tap_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnic.service.workers.group.SILENT_SECONDS", 3.0)
    make_shared_tap(tap_name)
    async with workers(tap_name) as group:
        os.kill(group.pids[1], signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE):
            while group.observed.stack.down != "worker 1 does not answer":
                await asyncio.sleep(0.02)
        await until_restarted(group, 1)
        await asyncio.to_thread(send, 100)
        await until_delivered(group, 100)


async def test_knobs_reach_all_workers_and_those_that_come_later(tap_name: str) -> None:
    make_shared_tap(tap_name)
    async with workers(tap_name) as group:
        os.kill(group.pids[1], signal.SIGKILL)
        await until_restarted(group, 1)
        group.observed.nic.knobs.rx_budget = 1
        group.observed.nic.knobs.tap_queue = 300
        await group.apply_knobs()
        await asyncio.to_thread(send, 100)
        await until_delivered(group, 100)
        assert group.observed.nic.counters.budget_frames == group.observed.nic.ledger().delivered
        shown = subprocess.run(["ip", "-o", "link", "show", tap_name], capture_output=True, text=True, check=True)
        assert " qlen 300" in shown.stdout


def lane_of(group: WorkerGroup, worker: int, lane: str) -> int:
    """Frames that a worker has delivered of a lane; -1: it has no such lane."""
    snapshot = group._workers[worker].snapshot
    assert snapshot is not None
    counted = snapshot.counted.lanes.get(lane)
    return counted.ledger.delivered if counted is not None else -1


async def test_control_comes_to_the_first_worker_and_rules_change_live(tap_name: str) -> None:
    make_shared_tap(tap_name)
    async with workers(tap_name, stack="inet") as group:
        ping = ("ping", "-n", "-q", "-c", "5", "-i", "0.05", HOST)
        await asyncio.to_thread(subprocess.run, ping, check=True, capture_output=True)
        await asyncio.to_thread(send, 200)
        await until_delivered(group, 205)
        assert lane_of(group, 0, "control") >= 5
        assert lane_of(group, 1, "control") == -1
        assert lane_of(group, 0, "bulk") + lane_of(group, 1, "bulk") == 200
        before = lane_of(group, 0, "control")
        group.observed.nic.knobs.lane = ("control=udp:7",)
        await group.apply_knobs()
        await asyncio.to_thread(send, 200)
        await until_delivered(group, 400 + before)
        assert lane_of(group, 0, "control") == before + 200
        accounts = group.observed.nic.accounts()
        assert all(account.ledger.imbalance == 0 for account in accounts.lanes.values())
        assert accounts.total.imbalance == 0


async def test_what_workers_cannot_turn_to_stays_as_it_was(tap_name: str) -> None:
    refused: tuple[tuple[str, object, str], ...] = (
        ("lane", ("other=arp",), "fixed while running"),
        ("shed", ("udp",), "--workers 1"),
        ("lane_queue", ("bulk=9",), "--workers 1"),
        ("tap_queue", 1 << 31, "--tap-queue"),
    )
    make_shared_tap(tap_name)
    async with workers(tap_name) as group:
        knobs = group.observed.nic.knobs
        for knob, value, word in refused:
            before = getattr(knobs, knob)
            setattr(knobs, knob, value)
            with pytest.raises(DeviceError, match=word):
                await group.apply_knobs()
            assert getattr(knobs, knob) == before


async def test_a_tap_that_was_deleted_is_waited_for(tap_name: str) -> None:
    make_shared_tap(tap_name)
    async with workers(tap_name) as group:
        await asyncio.to_thread(send, 100)
        await until_delivered(group, 100)
        delivered = group.observed.nic.ledger().delivered
        subprocess.run(["ip", "link", "del", tap_name], check=True)
        async with asyncio.timeout(PATIENCE):
            while group.observed.nic.device_up:
                await asyncio.sleep(0.05)
        make_shared_tap(tap_name)
        async with asyncio.timeout(PATIENCE):
            while not group.observed.nic.device_up:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(send, 100)
        await until_delivered(group, delivered + 100)
        assert group.observed.nic.ledger().imbalance == 0
        assert group.observed.workforce.restarts == 0


async def test_a_tap_that_is_set_down_is_told_of_until_it_is_up(
    tap_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_shared_tap(tap_name)
    async with workers(tap_name) as group:
        group.observed.phase = "running"
        subprocess.run(["ip", "link", "set", tap_name, "down"], check=True)
        async with asyncio.timeout(PATIENCE):
            while group.observed.nic.device_up:
                await asyncio.sleep(0.05)
        assert group.observed.not_ready == f"device tap:{tap_name}: the interface is down"
        assert "carries nothing" in caplog.text
        subprocess.run(["ip", "link", "set", tap_name, "up"], check=True)
        async with asyncio.timeout(PATIENCE):
            while not group.observed.nic.device_up:
                await asyncio.sleep(0.05)
        assert group.observed.not_ready == ""
        assert "carries frames again" in caplog.text
        # What the kernel knew of its neighbour went with the link.
        subprocess.run(["ip", "neighbour", "add", HOST, "lladdr", MAC, "dev", tap_name], check=True)
        await asyncio.to_thread(send, 100)
        await until_delivered(group, 100)
        assert group.observed.nic.ledger().imbalance == 0


async def test_a_stack_that_raises_is_started_again_in_its_worker(
    tap_name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("stacks")
    (folder / "upset.py").write_text(
        "async def stack(nic):\n    async for frame in nic.frames():\n        raise ValueError('upset')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    make_shared_tap(tap_name)
    async with workers(tap_name, stack="upset:stack", log_level="error") as group:
        await asyncio.to_thread(send, 5)
        await until_delivered(group, 5)
        assert group.observed.stack.failures >= 5
        assert group.observed.workforce.restarts == 0


async def test_a_worker_that_cannot_start_says_why(tap_name: str) -> None:
    make_shared_tap(tap_name)
    settings = load({"device": f"tap:{tap_name}", "workers": "2", "stack": "absent.module:stack"}, {}, None)
    with pytest.raises(Failed, match=r"worker \d: .*cannot import absent.module"):
        async with open_workers(settings):
            pass


async def test_a_tap_of_one_queue_is_refused_with_the_fix(tap_name: str) -> None:
    make_tap(tap_name)
    settings = load({"device": f"tap:{tap_name}", "workers": "2"}, {}, None)
    with pytest.raises(DeviceError, match="multi_queue"):
        async with open_workers(settings):
            pass


async def test_a_change_that_is_refused_half_way_changes_nothing(
    tap_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shared_tap(tap_name)
    async with workers(tap_name) as group:

        async def refuse(*_: object) -> None:
            raise DeviceError("--tap-queue: refused")

        monkeypatch.setattr("asyncnic.devices.tap.shared.set_queue_length", refuse)
        before = [lane.rule.text for lane in group._tap.lanes]
        knobs = group.observed.nic.knobs
        knobs.lane, knobs.tap_queue = ("control=udp:9",), 5000
        with pytest.raises(DeviceError, match="refused"):
            await group.apply_knobs()
        assert [lane.rule.text for lane in group._tap.lanes] == before
        assert knobs.lane == DEFAULT_LANES
