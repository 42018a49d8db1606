"""Lanes of a packet device: each frame in one ring, every ring's drops its own, rules that change while frames come."""

import logging

import pytest

from asyncnic.devices.device import PacketOptions
from asyncnic.errors import DeviceError
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.devices.packet.rig import Cable, count, drained, nic_on
from tests.lanes.frames import ARP, PING4, SOLICITATION, udp4
from tests.waiting import until
from tests.wire import HOST, MAC, assert_law, frame

FIRST = ("first=ether:0x88b6",)


def other(number: int) -> bytes:
    """A frame like `frame`'s, of the type that `FIRST` is for."""
    return frame(MAC, number).replace(b"\x88\xb5", b"\x88\xb6", 1)


def offered(nic: Nic) -> dict[str, int]:
    return {name: lane.ledger.offered for name, lane in nic.accounts().lanes.items()}


async def test_control_frames_have_a_lane_by_default(cable: Cable) -> None:
    async with nic_on(cable) as nic, drained(nic):
        cable.send(*(MAC + HOST + one[12:] for one in (ARP, PING4, SOLICITATION, udp4(), udp4())))
        await until(lambda: nic.ledger().delivered == 5)
        assert offered(nic) == {"control": 3, "bulk": 2}
        assert_law(nic, offered=5)


async def test_the_higher_lane_comes_first_and_a_full_ring_below_costs_it_nothing(cable: Cable) -> None:
    async with nic_on(cable, knobs=Knobs(lane=FIRST), packet=PacketOptions(ring=64)) as nic:
        cable.send(*(frame(MAC, number) for number in range(500)), *(other(number) for number in range(1000, 1010)))
        assert (await count(nic, 10))[:10] == list(range(1000, 1010))
        async with drained(nic):
            await until(lambda: nic.ledger().offered == 510 and not nic.ledger().in_flight)
        lanes = {name: lane.ledger for name, lane in nic.accounts().lanes.items()}
        assert lanes["first"].dropped_at("kernel") == 0
        assert lanes["bulk"].dropped["kernel"] == {"packet_ring_full": 500 - 64}
        assert all(ledger.imbalance == 0 for ledger in lanes.values())
        assert_law(nic, offered=510)


async def test_rules_change_while_frames_come_and_names_stay(cable: Cable) -> None:
    knobs = Knobs(lane=FIRST)
    async with nic_on(cable, knobs=knobs) as nic, drained(nic):
        cable.send(frame(MAC, 1), other(2))
        await until(lambda: offered(nic) == {"first": 1, "bulk": 1})
        knobs.lane = ("first=ether:0x88b5",)
        await nic.device.apply_knobs()
        cable.send(*(frame(MAC, number) for number in range(5)), other(9))
        await until(lambda: offered(nic) == {"first": 6, "bulk": 2})
        knobs.lane = ("second=ether:0x88b5",)
        with pytest.raises(DeviceError, match=r"--lane: names and order are fixed while running \(first, bulk\)"):
            await nic.device.apply_knobs()
        assert knobs.lane == ("first=ether:0x88b5",)
        knobs.lane = (f"first={','.join(f'src:2001:db8:{number:x}::/128' for number in range(256))}",)
        knobs.shed = tuple(f"src:2001:db8:0:{number:x}::/128,dst:2001:db8::{number + 1:x}/128" for number in range(64))
        knobs.shed = tuple(f"{rule},src:2001:db8:9::{number:x}/128" for number, rule in enumerate(knobs.shed))
        with pytest.raises(DeviceError, match="fewer terms"):
            await nic.device.apply_knobs()
        cable.send(frame(MAC, 1), other(2))
        await until(lambda: offered(nic) == {"first": 7, "bulk": 3})
        assert_law(nic, offered=10)


async def test_what_is_shed_is_never_offered_and_that_is_said(cable: Cable, caplog: pytest.LogCaptureFixture) -> None:
    knobs = Knobs(lane=("bulk",), shed=("ether:0x88b6",))
    with caplog.at_level(logging.WARNING, "asyncnic"):
        async with nic_on(cable, knobs=knobs) as nic, drained(nic):
            assert [record.message for record in caplog.records] == ["what is shed is not counted"]
            cable.send(other(1), frame(MAC, 2), other(3))
            await until(lambda: nic.ledger().delivered == 1)
            knobs.shed = ()
            await nic.device.apply_knobs()
            cable.send(other(4), frame(MAC, 5))
            await until(lambda: nic.ledger().delivered == 3)
            assert offered(nic) == {"bulk": 3}
            assert_law(nic, offered=3)
    assert len(caplog.records) == 1


async def test_lanes_follow_an_interface_that_is_made_anew(cable: Cable) -> None:
    async with nic_on(cable, knobs=Knobs(lane=FIRST)) as nic, drained(nic):
        cable.send(frame(MAC, 1), other(2))
        await until(lambda: nic.ledger().delivered == 2)
        cable.unplug()
        await until(lambda: not nic.device_up)
        cable.plug()
        await until(lambda: nic.device_up)
        cable.send(other(3), frame(MAC, 4), other(5))
        await until(lambda: offered(nic) == {"first": 3, "bulk": 2})
        assert_law(nic, offered=5)


async def test_a_tag_that_lies_beside_the_frame_is_read(cable: Cable) -> None:
    knobs = Knobs(lane=("tagged=vlan:7",))
    async with open_nic(f"packet:{cable.name}", knobs=knobs, mac=MAC, promiscuous=True) as nic, drained(nic):
        tagged = [frame(MAC, 1)[:12] + bytes((0x81, 0, 0, vlan)) + frame(MAC, 1)[12:] for vlan in (7, 8, 7)]
        cable.send(*tagged)
        await until(lambda: offered(nic) == {"tagged": 2, "bulk": 1})
        assert_law(nic, offered=3)
