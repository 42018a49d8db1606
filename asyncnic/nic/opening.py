"""Opens a NIC: device, drivers and delivery put together, its background tasks watched, and all of it closed again.

What an open one does is nic.py's.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from asyncnic.devices import Opener, open_device
from asyncnic.devices.device import Device, DeviceOptions, PacketOptions
from asyncnic.errors import DeviceError
from asyncnic.faults import inject
from asyncnic.nic.burst import Clock
from asyncnic.nic.nic import ETHERNET_OVERHEAD, Nic
from asyncnic.nic.sources import SourceLimit, Sources
from asyncnic.pcnet32.driver.driver import ChipError, Driver, Layout
from asyncnic.settings.knobs import Knobs
from asyncnic.tasks import Background


@asynccontextmanager
async def open_nic(
    device: str | Opener,
    *,
    mac: bytes | None = None,
    promiscuous: bool = False,
    mtu: int = 1500,
    rx_ring: int = 256,
    tx_ring: int = 64,
    host_address: str = "",
    knobs: Knobs | None = None,
    delivery: str = "direct",
    packet: PacketOptions | None = None,
    faults: Sequence[str] = (),
    source_limit: SourceLimit | None = None,
    clock: Clock = time.monotonic,
) -> AsyncIterator[Nic]:
    """Open a device and bring its chip up; on leaving, stop the chip and let go.

    Args:
        device: as `--device` takes it ("tap:NAME"; `asyncnic.devices.BACKENDS` has all), or what opens one.
        mac: the station address; None lets the device choose one.
        promiscuous: take every frame, whoever it is for; nothing is filtered then.
        mtu: octets of payload in a frame, 68 to 1500.
        rx_ring, tx_ring: descriptors, a power of two from 1 to 512.
        host_address: address with prefix length for the host's side of a TAP; empty leaves it alone.
        knobs: live knobs; they may be changed while the nic runs.
        delivery: "direct" or "queue".
        packet: what a packet device is told besides.
        faults: what is rehearsed to go wrong, in the order in which frames meet it ("drop=1%"; `asyncnic.faults`).
        source_limit: frames a second that one source may send; None: any number.
        clock: monotonic seconds.

    Raises:
        DeviceError: the device is absent or cannot be used (`PrivilegeError`: for want of a privilege).
        ValueError: a ring length that no chip has, or an unknown device, delivery or fault.
        SettingsError: a fault that this device cannot have.
    """
    knobs = knobs if knobs is not None else Knobs()
    options = DeviceOptions(
        mac=mac,
        mtu=mtu,
        host_address=host_address,
        memory_size=Layout.of(rx_ring, tx_ring).size,
        knobs=knobs,
        packet=packet if packet is not None else PacketOptions(),
    )
    opened = await open_device(device, options)
    if faults:
        try:
            opened = inject(opened, faults, clock)
        except BaseException:
            await opened.close()
            raise
    async with run_nic(
        opened,
        knobs,
        mac=mac,
        promiscuous=promiscuous,
        mtu=mtu,
        rx_ring=rx_ring,
        tx_ring=tx_ring,
        delivery=delivery,
        source_limit=source_limit,
        clock=clock,
    ) as nic:
        nic.host = options.packet.host
        yield nic


@asynccontextmanager
async def run_nic(
    opened: Device,
    knobs: Knobs,
    *,
    mac: bytes | None,
    promiscuous: bool = False,
    mtu: int = 1500,
    rx_ring: int = 256,
    tx_ring: int = 64,
    delivery: str = "direct",
    source_limit: SourceLimit | None = None,
    clock: Clock = time.monotonic,
) -> AsyncIterator[Nic]:
    """Bring the chips of a device up that is attached, which is closed at the end; otherwise as `open_nic`."""
    try:
        drivers = [
            Driver(
                lane.port,
                rx_ring=rx_ring,
                tx_ring=tx_ring,
                max_frame=mtu + ETHERNET_OVERHEAD,
                mac=mac,
                filters=not lane.counts_filtered,
                doorbell=lane.doorbell,
                promiscuous=promiscuous,
                pause=time.sleep,
            )
            for lane in opened.lanes
        ]
        for driver in drivers:
            driver.bring_up()
    except ChipError as error:
        await opened.close()
        raise DeviceError(f"{opened.name}: {error}") from error
    except BaseException:
        await opened.close()
        raise
    async with Background() as tasks:
        sources = Sources(source_limit) if source_limit is not None and source_limit.rate else None
        nic = Nic(opened, drivers, knobs, tasks, mtu=mtu, delivery=delivery, clock=clock, sources=sources)
        try:
            yield nic
        finally:
            await nic.close()
