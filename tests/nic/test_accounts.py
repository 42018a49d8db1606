"""The accounts of a chip that takes frames by itself, between any two looks at it."""

import pytest

from asyncnic.devices.device import DeviceOptions, WireCounters
from asyncnic.nic.opening import open_nic
from asyncnic.pcnet32.driver.receive_ring import ReceiveRing
from asyncnic.settings.knobs import Knobs
from tests.nic.rig import PlayedDevice
from tests.wire import MAC, frame

RING = 16


class Beside(PlayedDevice):
    """A wire whose counters do not know the chip's lane, as QEMU's TAP has them."""

    def wire(self) -> WireCounters | None:
        (lane,) = self.lanes
        return WireCounters(lane.read + lane.dropped, lane.dropped)


async def test_a_reading_is_exact_whatever_the_chip_does_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    knobs = Knobs()
    device = Beside(1, knobs, rx_ring=RING, tx_ring=4)
    (lane,) = device.lanes

    async def opened(options: DeviceOptions) -> PlayedDevice:
        return device

    look = ReceiveRing.finished

    def look_and_go_on(ring: ReceiveRing) -> int:
        found = look(ring)
        lane.poll(1)
        return found

    async with open_nic(opened, mac=MAC, rx_ring=RING, tx_ring=4, knobs=knobs) as nic:
        lane.offer([frame(MAC)] * (RING - 1))
        monkeypatch.setattr(ReceiveRing, "finished", look_and_go_on)
        readings = [nic.ledger() for _ in range(4)]
        monkeypatch.undo()
        assert [ledger.imbalance for ledger in readings] == [0] * 4
        assert readings[0].offered < readings[-1].offered
