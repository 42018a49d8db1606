"""Every fault on every device that can have it, with both deliveries: the law holds to the frame, and life goes on."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncnic.errors import SettingsError
from asyncnic.faults import KINDS
from tests.faults.scenes import scene
from tests.trust import open_descriptors
from tests.waiting import until

WIRE = ("drop=5%", "corrupt=20%", "truncate=20%", "duplicate=10%", "delay=5ms", "reorder=10%", "rate=500")
RING = ("garbage=5%", "keep=2%", "late=5%")
CHIP = ("gone=300ms", "stop=50ms")
LINE = ("mute=30%", "spurious=1ms")
ALL = ("drop=1%", "duplicate=1%", "reorder=5%", "delay=2ms", "garbage=1%", "keep=1%", "late=1%", "stop=50ms", "seed=3")
CASES = [
    (device, faults)
    for device in ("tap", "macvtap", "packet", "pcap", "qemu")
    for faults in (
        *[(one,) for one in (() if device == "qemu" else WIRE + RING)],
        *[(one,) for one in CHIP],
        *[(one,) for one in (() if device == "pcap" else LINE)],
        *(() if device == "qemu" else (ALL,)),
    )
]


def test_no_fault_is_left_out() -> None:
    assert {text.partition("=")[0] for text in (*WIRE, *RING, *CHIP, *LINE, *ALL)} == set(KINDS)


@pytest.mark.parametrize("overload", ["leave", "drain"])
@pytest.mark.parametrize("delivery", ["direct", "queue"])
@pytest.mark.parametrize(("device", "faults"), CASES, ids=[f"{device}-{'+'.join(faults)}" for device, faults in CASES])
async def test_the_law_holds_under_every_fault(
    tap_name: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    device: str,
    faults: tuple[str, ...],
    delivery: str,
    overload: str,
) -> None:
    before = open_descriptors()
    names = [text.partition("=")[0] for text in faults if not text.startswith("seed")]
    async with scene(device, tap_name, tmp_path, *faults, delivery=delivery, overload=overload) as stage:
        nic = stage.nic
        taker = asyncio.create_task(stage.take())
        if device == "pcap":
            await asyncio.wait_for(taker, 20.0)
        else:
            least = {"gone": 1, "stop": 3}
            await stage.offer_until(lambda: all(stage.happened(name) >= least.get(name, 10) for name in names))
            struck = time.monotonic()
            delivered = nic.counters.delivered_frames
            await stage.offer_until(lambda: nic.counters.delivered_frames > delivered + 200)
            record_property("recovery", time.monotonic() - struck)
            await until(lambda: nic.ledger().imbalance == 0)
            nic.stop()
            await asyncio.wait_for(taker, 20.0)
        assert nic.ledger().imbalance == 0, nic.accounts()
        assert all(stage.happened(name) for name in names if device != "pcap" or KINDS[name].place == "wire")
    assert nic.ledger().imbalance == 0, nic.accounts()
    assert open_descriptors() <= before
    record_property("tried", sum(stage.happened(name) for name in names))
    record_property("unaccounted", nic.ledger().imbalance)
    record_property("leaks", open_descriptors() - before)


@pytest.mark.parametrize("text", [*WIRE, *RING])
async def test_a_chip_that_is_not_in_software_says_what_it_can_have(tap_name: str, tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^--fault {text}: the chip of qemu:{tap_name} is not in software"):
        async with scene("qemu", tap_name, tmp_path, text):
            pass


@pytest.mark.parametrize("text", LINE)
async def test_a_device_without_an_interrupt_has_no_faults_of_one(tap_name: str, tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^--fault {text}: pcap:.* is polled, and has no interrupt"):
        async with scene("pcap", tap_name, tmp_path, text):
            pass


async def test_the_same_seed_is_the_same_rehearsal(tap_name: str, tmp_path: Path) -> None:
    async def rehearsed(seed: int) -> tuple[list[bytes], object]:
        faults = ("drop=10%", "corrupt=10%", "duplicate=10%", "garbage=5%", f"seed={seed}")
        async with scene("pcap", tap_name, tmp_path, *faults) as stage:
            await stage.take()
            return stage.seen, stage.nic.ledger()

    first = await rehearsed(7)
    assert first == await rehearsed(7)
    assert first != await rehearsed(8)


async def test_each_fault_has_its_column(tap_name: str, tmp_path: Path) -> None:
    async with scene("pcap", tap_name, tmp_path, "drop=10%", "duplicate=10%", "keep=5%") as stage:
        await stage.take()
        accounts = stage.nic.accounts()
        card = accounts.total.dropped["card"]
        assert accounts.injected["drop"] == card["fault_drop"] > 0
        assert accounts.injected["keep"] == card["fault_keep"] > 0
        assert accounts.total.offered == 3000 + accounts.injected["duplicate"]
        assert accounts.injected["duplicate"] > 0
