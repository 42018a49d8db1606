"""Every device, every delivery and overload, every way to lose it or its link under flood: the law holds to the frame
at every reading once that has happened, it is noticed within a second, and the return is announced.
"""

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from asyncnic.devices.qemu.device import QemuDevice
from asyncnic.devices.qemu.machine import ANSWER_SECONDS
from asyncnic.nic.faults import SAMPLE_INTERVAL
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.trust import recovering
from tests.waiting import until
from tests.wire import MAC, Wire, frame, keep_quiet

RING = 64
DEVICES = ("tap", "tap with lanes", "macvtap", "packet", "qemu")
FAULTS = ("deleted", "moved", "killed", "stopped")
NOTICED = {"down": "the interface is down"} | dict.fromkeys(FAULTS, "lost: ")
BACK = {"down": "the interface is up again"} | dict.fromkeys(FAULTS, ": back")


class Scene:
    """An interface for `device`, flooded."""

    def __init__(self, device: str, name: str) -> None:
        self.name = name
        self._lanes = device == "tap with lanes"
        self._macvtap = device == "macvtap"
        self._pair = device in ("macvtap", "packet")
        self.backend = device.partition(" ")[0]
        self.wire: Wire | None = None
        self._moved = ""
        self.make()

    def make(self) -> None:
        if self._pair:
            ip("link", "add", self.name, "type", "veth", "peer", "name", f"{self.name}p")
            ends = [self.name, f"{self.name}p"]
        else:
            ip("tuntap", "add", self.name, "mode", "tap", *["multi_queue"] * self._lanes)
            ends = [self.name]
        for end in ends:
            keep_quiet(end)
            ip("link", "set", end, "up")
        self.wire = Wire(ends[-1])

    @contextmanager
    def flood(self) -> Iterator[None]:
        """Offer frames as fast as one thread can, until the end; a wire that is gone takes none."""
        end = threading.Event()

        def run() -> None:
            one = frame(MAC, 1)
            while not end.is_set():
                with suppress(OSError):
                    if self.wire is not None:
                        self.wire.send(*[one] * 50)
                time.sleep(0.001)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
            if self.wire is not None:
                self.wire.close()

    def lose(self, fault: str, nic: Nic) -> None:
        if fault == "deleted":
            ip("link", "del", self.name)
        elif fault == "down":
            ip("link", "set", self.name, "down")
        elif fault == "moved":
            self._moved = macvtap() if self._macvtap else self.name
            ip("link", "set", self._moved, "netns", f"{self.name}-{os.getpid()}")
        else:
            assert isinstance(nic.device, QemuDevice)
            machine = nic.device.port.machine
            assert machine is not None
            os.kill(machine.process.pid, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)

    def bring_back(self, fault: str) -> None:
        if fault == "down":
            ip("link", "set", self.name, "up")
        if fault == "moved":
            ip("-n", f"{self.name}-{os.getpid()}", "link", "del", self._moved)
        if fault == "deleted" or (fault == "moved" and not self._macvtap):
            if self.wire is not None:
                self.wire.close()
            self.make()


def macvtap() -> str:
    """The name of the one macvtap that there is."""
    shown = subprocess.run(["ip", "-o", "link", "show", "type", "macvtap"], capture_output=True, text=True, check=True)
    return shown.stdout.split(": ")[1].split("@")[0]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def namespace(tap_name: str) -> Iterator[str]:
    name = f"{tap_name}-{os.getpid()}"
    ip("netns", "add", name)
    yield name
    ip("netns", "del", name)


class OwnTime:
    """How long something takes by the loop's own time: in looks at the chips, which a busy machine makes fewer of."""

    def __init__(self) -> None:
        self._looks = 0

    @property
    def seconds(self) -> float:
        return self._looks * SAMPLE_INTERVAL

    async def run(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL)
            self._looks += 1

    @classmethod
    @contextmanager
    def measured(cls) -> Iterator["OwnTime"]:
        time = cls()
        task = asyncio.create_task(time.run())
        try:
            yield time
        finally:
            task.cancel()


async def take_all(nic: Nic) -> None:
    async for burst in nic:
        for _ in burst:
            pass
        await asyncio.sleep(0)


def cases() -> Iterator[tuple[str, str, str, str]]:
    for device in DEVICES:
        for fault in (*FAULTS, "down"):
            if fault in ("killed", "stopped") and device != "qemu":
                continue
            for delivery in ("direct", "queue"):
                for overload in ("leave", "drain"):
                    yield device, fault, delivery, overload


def is_exact(nic: Nic) -> bool:
    return nic.ledger().imbalance == 0


@pytest.mark.parametrize(("device", "fault", "delivery", "overload"), list(cases()))
@pytest.mark.usefixtures("namespace")
async def test_the_law_holds_over_a_loss(
    tap_name: str, caplog: pytest.LogCaptureFixture, device: str, fault: str, delivery: str, overload: str
) -> None:
    scene = Scene(device, tap_name)
    knobs = Knobs(overload=overload, lane=Knobs().lane if device == "tap with lanes" else ())
    async with open_nic(f"{scene.backend}:{tap_name}", mac=MAC, rx_ring=RING, knobs=knobs, delivery=delivery) as nic:
        taker = asyncio.create_task(take_all(nic))
        with scene.flood():
            await until(lambda: nic.counters.delivered_frames > 500)
            before = nic.ledger()
            said = "the interface has no carrier" if (device, fault) == ("macvtap", "down") else NOTICED[fault]
            with OwnTime.measured() as time_taken:
                scene.lose(fault, nic)
                await until(lambda: said in caplog.text)
            assert time_taken.seconds + ANSWER_SECONDS * (fault == "stopped") <= 1.0
            still_there = fault == "down" and device != "packet"  # a packet socket takes one for the other
            if still_there:
                assert (nic.device_up, nic.no_link) == (False, said)
            lost = nic.ledger()
            assert lost.imbalance == 0, lost
            assert lost.offered >= before.offered
            scene.bring_back(fault)
            with recovering():
                await until(lambda: BACK["down" if still_there else "deleted"] in caplog.text)
                assert nic.device_up
                assert nic.counters.resets == (0 if still_there else 1)
                delivered = nic.counters.delivered_frames
                await until(lambda: nic.counters.delivered_frames > delivered + 100)
        await until(lambda: is_exact(nic))
        again = nic.ledger()
        assert again.offered >= lost.offered
        assert again.dropped_total >= lost.dropped_total
        nic.stop()
        await taker
        assert nic.ledger().imbalance == 0, nic.ledger()


@pytest.mark.parametrize("delivery", ["direct", "queue"])
@pytest.mark.parametrize("fault", ["deleted", "down"])
@pytest.mark.parametrize("device", DEVICES)
async def test_a_loss_is_noticed_while_the_stack_holds_a_burst(
    tap_name: str, caplog: pytest.LogCaptureFixture, device: str, fault: str, delivery: str
) -> None:
    scene = Scene(device, tap_name)
    knobs = Knobs(lane=Knobs().lane if device == "tap with lanes" else ())
    async with open_nic(f"{scene.backend}:{tap_name}", mac=MAC, rx_ring=RING, knobs=knobs, delivery=delivery) as nic:

        async def take_slowly() -> None:
            async for burst in nic:
                for _ in burst:
                    pass
                await asyncio.sleep(0.3)

        taker = asyncio.create_task(take_slowly())
        with scene.flood():
            await until(lambda: nic.counters.bursts >= 1)
            with OwnTime.measured() as time_taken:
                scene.lose(fault, nic)
                await until(lambda: not nic.device_up)
            assert time_taken.seconds <= 1.0
            assert nic.ledger().imbalance == 0, nic.ledger()
        nic.stop()
        await taker
        assert nic.ledger().imbalance == 0, nic.ledger()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("namespace")
async def test_the_last_ledger_of_a_qemu_that_went_away_before_the_stop(tap_name: str, fault: str) -> None:
    scene = Scene("qemu", tap_name)
    async with open_nic(f"qemu:{tap_name}", mac=MAC, rx_ring=RING) as nic:
        taker = asyncio.create_task(take_all(nic))
        with scene.flood():
            await until(lambda: nic.counters.delivered_frames > 500)
            scene.lose(fault, nic)
            nic.stop()
            await taker
            assert nic.ledger().imbalance == 0, nic.ledger()
    assert nic.ledger().imbalance == 0, nic.ledger()
