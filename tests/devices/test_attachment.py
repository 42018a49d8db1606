"""Attaching, loss and return, the same for every device: nothing escapes, nothing leaks, and counters only grow."""

import gc
import os
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.exceptions import NetlinkError

from asyncnic.devices import open_device
from asyncnic.devices.attachment import Attachment, WireCount
from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.devices.tap.shared import SharedTap
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.lanes.rules import DEFAULT_LANES, parse_lanes
from asyncnic.linux.link import LinkWanted
from asyncnic.settings.knobs import Knobs
from tests.wire import MAC, keep_quiet

FAILURES = [
    OSError(24, "Too many open files"),
    NetlinkError(19, "No such device"),
    DeviceError("some device: refused"),
    DeviceLost("gone again"),
]

COMMON = ("reserve_tap", "set_up", "LinkCounters")
POINTS = {
    "tap": (
        *(f"asyncnic.devices.tap.device.{name}" for name in COMMON),
        "asyncnic.devices.tap.reserve.claim",
        "asyncnic.devices.tap.reserve.counts_of_unused_tap",
        "asyncnic.linux.tun.attach",
    ),
    "shared": (
        *(f"asyncnic.devices.tap.shared.{name}" for name in COMMON),
        "asyncnic.linux.bpf.attach",
        "asyncnic.linux.tun.attach",
    ),
    "qemu": (
        *(f"asyncnic.devices.qemu.wire.{name}" for name in COMMON),
        "asyncnic.devices.qemu.machine.Machine",
        "asyncnic.devices.qemu.wire.TapWire._filter",
        "asyncnic.linux.tun.attach",
    ),
    "macvtap": (
        *(f"asyncnic.devices.macvtap.device.{name}" for name in ("set_up", "LinkCounters", "claim", "open_changes")),
        *(
            f"asyncnic.devices.macvtap.link.{name}"
            for name in ("find", "make", "open_queue", "accept_multicast", "bring_up")
        ),
    ),
    "packet": (
        "asyncnic.devices.packet.device.find",
        "asyncnic.devices.packet.lane.bind_sender",
        "asyncnic.linux.packet.RingSocket.bind",
    ),
}
"""Where attaching calls something that the kernel can refuse."""
ONCE = {"packet": tuple(f"asyncnic.devices.packet.device.{name}" for name in ("RingSocket", "open_sender"))}
"""The same, for what is opened by the first attachment only."""
CASES = [(backend, point) for backend, points in POINTS.items() for point in points]
FIRST_CASES = CASES + [(backend, point) for backend, points in ONCE.items() for point in points]


@dataclass
class Host:
    """What a backend's device is on, to be made and deleted."""

    backend: str
    name: str

    def make(self) -> None:
        if self.backend in ("macvtap", "packet"):
            command = ["ip", "link", "add", self.name, "type", "veth", "peer", "name", f"{self.name}p"]
        else:
            command = ["ip", "tuntap", "add", self.name, "mode", "tap", "multi_queue"]
        subprocess.run(command, check=True)
        keep_quiet(self.name)
        if self.backend == "packet":
            subprocess.run(["ip", "link", "set", self.name, "up"], check=True)

    def delete(self) -> None:
        subprocess.run(["ip", "link", "del", self.name], check=True)

    async def open(self) -> Device | SharedTap:
        if self.backend == "shared":
            tap = SharedTap(self.name, 2, parse_lanes(DEFAULT_LANES), LinkWanted(1500, 100))
            await tap.attach()
            return tap
        return await open_device(f"{self.backend}:{self.name}", DeviceOptions(MAC, 1500, "", 1 << 20, Knobs()))


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, point: str, failure: Exception) -> Iterator[None]:
    def fail(*_: object, **__: object) -> None:
        raise type(failure)(*failure.args)  # a fresh one: a traceback keeps what its frames hold

    with monkeypatch.context() as patch:
        patch.setattr(point, fail)
        yield


def descriptors() -> list[str]:
    """What this process has open; nothing is kept open by garbage."""
    gc.collect()
    return sorted(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(("backend", "point"), FIRST_CASES)
async def test_whatever_fails_while_attaching_is_a_device_error_and_leaves_nothing_open(
    tap_name: str, monkeypatch: pytest.MonkeyPatch, backend: str, point: str
) -> None:
    host = Host(backend, tap_name)
    host.make()
    await (await host.open()).close()  # what is opened once and for good is open now
    before, interfaces = descriptors(), listed_interfaces()
    for failure in FAILURES:
        with failing(monkeypatch, point, failure):
            assert "\n" not in await refused(host)
        assert descriptors() == before
    assert listed_interfaces() == interfaces
    await (await host.open()).close()
    assert descriptors() == before


@pytest.mark.parametrize(("backend", "point"), CASES)
async def test_whatever_fails_while_coming_back_is_false_and_leaves_nothing_open(
    tap_name: str, monkeypatch: pytest.MonkeyPatch, backend: str, point: str
) -> None:
    host = Host(backend, tap_name)
    host.make()
    device = await host.open()
    host.delete()
    assert not await device.reattach()
    host.make()
    before: list[str] = []
    for failure in FAILURES:
        with failing(monkeypatch, point, failure):
            assert not await device.reattach()
        before = before or descriptors()  # a wire may be attached to that waits for its chip
        assert descriptors() == before
    assert await device.reattach()
    await device.close()


async def test_what_fails_is_named_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    said = [
        OSError(12, "Cannot allocate memory"),
        OSError(12, "again"),
        DeviceError("x:y: no"),
        DeviceLost("x:y: absent"),
    ]

    async def acquire(held: AsyncExitStack) -> None:
        raise said.pop(0)

    attachment = Attachment("x:y", acquire)
    for _ in range(4):
        assert not await attachment.reattach()
    assert [record.__dict__["fields"]["problem"] for record in caplog.records] == [
        "x:y: cannot be attached to: Cannot allocate memory",
        "x:y: no",
    ]


async def test_all_is_released_in_reverse_order_though_a_release_fails() -> None:
    released: list[int] = []

    async def acquire(held: AsyncExitStack) -> None:
        for number in range(3):
            held.callback(released.append, number)
            if number == 1:
                held.callback(os.close, -1)

    attachment = Attachment("x:y", acquire)
    await attachment.attach()
    assert attachment.attached
    assert attachment.returning
    await attachment.detach()
    await attachment.detach()
    assert released == [2, 1, 0]
    assert not attachment.attached


def test_counts_go_on_with_the_next_attachment() -> None:
    count = WireCount()
    count.begin(7, 7)
    count.update(17, 10)
    count.begin(500, 460)
    count.update(501, 462)
    assert (count.taken, count.dropped, count.lost) == (11, 5, 0)


def test_counters_that_start_over_at_each_reading_add_up() -> None:
    count = WireCount()
    count.begin()
    count.add(5, 1)
    count.begin()
    count.add(2, 3)
    assert (count.taken, count.dropped) == (7, 4)


def test_of_a_wire_that_is_gone_counts_what_came_and_what_was_lost_on_the_way() -> None:
    count = WireCount()
    count.begin(100, 0)
    count.update(105, 3)
    count.settle(9)  # four frames came after the last reading
    assert (count.taken, count.dropped, count.lost) == (9, 3, 0)
    count.begin(0, 0)
    count.update(20, 0)
    count.settle(25)  # of 29 that were handed out
    assert (count.taken, count.lost) == (29, 4)
    count.settle(27)  # two more are known of
    assert (count.taken, count.lost) == (29, 2)
    count.begin(0, 0)
    count.settle(30)
    assert (count.taken, count.lost) == (32, 2)


@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "update", "add", "came", "settle"]), st.integers(0, 99), st.integers(0, 99))
    )
)
def test_whatever_is_read_no_count_falls(readings: list[tuple[str, int, int]]) -> None:
    count = WireCount()
    came = 0
    for kind, one, other in readings:
        before = (count.taken, count.dropped)
        came += one if kind in ("came", "settle") else 0
        match kind:
            case "begin":
                count.begin(one, other)
            case "update":
                count.update(one, other)
            case "add":
                count.add(one, other)
            case "came":
                count.came(came)
            case "settle":
                count.settle(came)
                assert count.taken == came + count.lost
                assert count.lost >= 0
        assert count.taken >= before[0]
        assert count.dropped >= before[1]


async def refused(host: Host) -> str:
    """Why the host's device is not opened. Nothing of it is kept."""
    try:
        await host.open()
    except DeviceError as error:
        return str(error)
    raise AssertionError("it was opened")


def listed_interfaces() -> list[str]:
    shown = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in shown.splitlines()]
