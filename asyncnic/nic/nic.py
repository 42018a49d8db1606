"""The nic: what a stack coroutine holds, and what the metrics read.

    async with asyncnic.open_nic("tap:asyncnic0", rx_ring=256) as nic:
        async for burst in nic:
            for frame in burst:
                ...

It ties device, drivers and delivery together and adds them up, lane by lane. It moves no frame itself: hot/wakeup.py
takes them, delivery/ hands them on, transmit.py sends. What each entry does in which state is in state.py.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

from asyncnic.devices.device import Device
from asyncnic.devices.host import SharedHost
from asyncnic.hot.heads import HeadRing
from asyncnic.hot.transmit import TransmitSlots
from asyncnic.logs import describe, fields
from asyncnic.nic.accounts import Accountant
from asyncnic.nic.burst import Burst, Clock
from asyncnic.nic.counters import Counters
from asyncnic.nic.delivery.delivery import Delivery
from asyncnic.nic.delivery.direct import DirectDelivery
from asyncnic.nic.delivery.queue import QueueDelivery
from asyncnic.nic.faults import Faults
from asyncnic.nic.ledger import Accounts, Ledger
from asyncnic.nic.rings import Rings
from asyncnic.nic.sources import Sources
from asyncnic.nic.state import Life, State
from asyncnic.nic.transmit import Transmit
from asyncnic.nic.waiting import Waiting
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.driver.driver import Driver
from asyncnic.settings.knobs import Knobs
from asyncnic.tasks import Background

log = logging.getLogger(__name__)

ETHERNET_OVERHEAD = 18
"""Octets of a frame around its MTU of payload: the header, and an 802.1Q tag."""

_DELIVERIES: Mapping[str, Callable[[Rings, Waiting, Background], Delivery]] = {
    "direct": DirectDelivery,
    "queue": QueueDelivery,
}
_REGISTERS = (reg.CSR_STATUS, reg.INTERRUPT_MASK, reg.FEATURES, reg.EXTENDED_CONTROL, reg.MODE, reg.MISSED_FRAMES)
_BCRS = (reg.BCR_LINK_LED, reg.BCR_BURST_CONTROL, reg.BCR_SOFTWARE_STYLE)


class Nic:
    """An open NIC. Made by `open_nic`; iterate it from one task only.

    Attributes:
        device: where the chip comes from.
        mac: the station address, 6 octets.
        mtu: octets of payload in a frame, at most.
        knobs: the live back-pressure knobs.
        delivery_name: "direct" or "queue".
    """

    def __init__(
        self,
        device: Device,
        drivers: Sequence[Driver],
        knobs: Knobs,
        tasks: Background,
        *,
        mtu: int,
        delivery: str,
        clock: Clock,
        sources: Sources | None = None,
    ) -> None:
        self.device = device
        self.host: SharedHost | None = None
        """Whose addresses the stack has, where the kernel keeps them."""
        self.mac = drivers[0].address
        self.mtu = mtu
        self.knobs = knobs
        self.delivery_name = delivery
        self._life = life = Life(device.name)
        self._drivers = drivers
        self._transmit = Transmit(drivers[0], life)
        self._rings = Rings(device, drivers, knobs, clock, life, sources)
        self.sources = sources
        """Who sends the most, where a source is limited; None: nobody looks."""
        self._faults = Faults(device, drivers, life, tasks)
        self._waiting = Waiting(self._rings, self._faults, life)
        self._faults.on_fault = self._waiting.wake
        self._faults.look = self._waiting.look
        self._delivery = _DELIVERIES[delivery](self._rings, self._waiting, tasks)
        self._accountant = Accountant(device, self._rings, self._delivery, life)
        self.burst_frames = self._rings.burst_frames
        self.delivery_seconds = self._rings.delivery_seconds
        self._watcher: Callable[[Burst], None] | None = None

    # -- The stack's side ---------------------------------------------------------------------------------------------

    def __aiter__(self) -> "Nic":
        return self

    async def __anext__(self) -> Burst:
        burst = await self._delivery.next_burst()
        if self._watcher is not None:
            self._show(burst, self._watcher)
        return burst

    async def serve(self, take: Callable[[Burst], None]) -> None:
        """The same as ``async for burst in nic: take(burst)`` for a stack that never awaits within a burst, at less
        cost where bursts are small.

        Raises:
            TakenError, and what `take` raises.
        """
        await self._delivery.serve(take)

    async def frames(self) -> AsyncIterator[memoryview]:
        """The frames one by one, each valid until the next is asked for."""
        async for burst in self:
            for frame in burst:
                yield frame

    def send(self, frame: bytes | bytearray | memoryview) -> bool:
        """Send a frame (from 14 octets on, without FCS). False: the transmit ring is full, or there is no device: the
        frame is dropped, and counted.

        The card is told once a burst, or once a turn of the event loop.
        """
        return self._transmit.send(frame)

    def try_send(self, frame: bytes | bytearray | memoryview) -> bool:
        """The same for whoever awaits `writable` and tries again: False: nothing is dropped, and nothing counted."""
        return self._transmit.try_send(frame)

    @property
    def slots(self) -> TransmitSlots:
        """The transmit ring's descriptors, for stacks that write headers and payload there themselves. What is put
        there is sent, and counted, as by `try_send`.
        """
        return self._transmit.slots

    async def writable(self) -> None:
        """Suspend, then return when `send` has room; while the device is lost, when it is back. After the stop without
        a device it returns all the same, at the next millisecond.
        """
        await self._transmit.writable()

    def abandon_burst(self) -> None:
        """Hand the burst in hand back as far as its stack has said that it took it. The rest comes again.

        For whoever runs stacks, when one has failed.
        """
        self._delivery.abandon_burst()

    def accept_multicast(self, groups: set[bytes]) -> None:
        """Let the card's hash filter pass these group addresses, and no others but those they collide with."""
        for driver in self._drivers:
            driver.accept_multicast(groups)

    # -- The service's side -------------------------------------------------------------------------------------------

    @property
    def device_up(self) -> bool:
        """Whether the device is attached, its chip runs and its wire has a link."""
        return self._life.present and not self._life.no_link

    @property
    def no_link(self) -> str:
        """Why the wire of a device that is there carries nothing; empty: it does."""
        return self._life.no_link

    def stop(self) -> None:
        """Take no more frames. Iteration delivers what the rings hold and then ends."""
        if self._life.ending:
            return
        if self._life.up:
            self._transmit.kick()
            for driver in self._drivers:
                driver.stop_receiving()
        self._life.stop()

    def when_stopped(self, told: Callable[[], None]) -> None:
        """Call `told` when the nic takes no more frames: it was stopped, or its wire has ended."""
        self._life.tell(lambda: told() if self._life.ending else None)

    async def close(self) -> None:
        """Stop the chips and let go of the device. Frames not delivered by now stay in flight in the last ledger, and
        what was sent and has not left within some 20 ms is counted as a transmit error.
        """
        if self._life.state is State.CLOSED:
            return
        self.stop()
        try:
            await self._delivery.close()
            self._rings.close()
            await self._transmit.drain()
            await self._faults.close()
        finally:
            for driver in self._drivers:
                if self._life.present:
                    driver.shut_down()
                else:
                    driver.tx.disarm_all()
            self._life.close()
            await self.device.close()

    def watch(self, watcher: Callable[[Burst], None] | None) -> None:
        """Show each burst to `watcher` before the stack sees it; None ends that.

        For captures: it must be quick and take nothing. One that raises is logged and shown no more.
        """
        self._watcher = watcher
        self._rings.wakeup.show = None if watcher is None else self._seen

    def _seen(self, burst: Burst) -> None:
        if self._watcher is not None:
            self._show(burst, self._watcher)

    def record_heads(self, heads: HeadRing | None) -> None:
        """Keep the heads of the frames that delivery takes in `heads` from now on; None ends that."""
        self._rings.heads = heads

    def _show(self, burst: Burst, watcher: Callable[[Burst], None]) -> None:
        try:
            watcher(burst)
        except Exception as error:
            self.watch(None)
            log.error("what watched the bursts failed and sees no more", extra=fields(problem=describe(error)))

    # -- The observer's side ------------------------------------------------------------------------------------------

    def ledger(self) -> Ledger:
        """Where every frame is at this moment. Read it on the loop's thread, between two steps of the stack."""
        return self.accounts().total

    def accounts(self) -> Accounts:
        """The same, lane by lane, with what was shed before any lane."""
        return self._accountant.accounts()

    @property
    def counters(self) -> Counters:
        """The counters as they stand."""
        rings = self._rings
        for driver in self._drivers:
            driver.tx.reap()
        delivered = [self._delivery.delivered(lane) for lane in range(len(self._drivers))]
        return Counters(
            delivered_frames=sum(frames for frames, _ in delivered),
            delivered_bytes=sum(octets for _, octets in delivered),
            transmitted_frames=sum(driver.tx.counters.frames for driver in self._drivers),
            transmitted_bytes=sum(driver.tx.counters.octets for driver in self._drivers),
            interrupts=rings.wakeup.interrupts,
            lost_interrupts=self._waiting.lost_interrupts,
            bursts=rings.wakeup.bursts,
            budget_frames=rings.wakeup.budget_frames,
            budget_time=rings.wakeup.budget_time,
            resets=self._faults.resets,
            resyncs=sum(driver.rx.counters.resyncs for driver in self._drivers),
        )

    @property
    def receive_errors(self) -> dict[str, int]:
        """Error units in the receive rings: crc, framing, overflow, buffer, length."""
        return _add(driver.rx.errors for driver in self._drivers)

    @property
    def transmit_errors(self) -> dict[str, int]:
        """Frames that did not leave, by reason."""
        return _add(driver.tx.errors for driver in self._drivers)

    @property
    def queue_frames(self) -> int:
        """Frames that wait in the delivery's queue; 0 for direct delivery."""
        return sum(self._delivery.in_flight(lane) for lane in range(len(self._drivers)))

    @property
    def chip(self) -> str:
        """The part's name, as it identified itself."""
        return self._drivers[0].chip

    def ring_descriptors(self) -> dict[str, dict[str, int]]:
        """Descriptors by ring ("rx", "tx") and owner ("card", "host"), now."""
        drivers = self._drivers
        rx_card = sum(driver.rx.card_descriptors() for driver in drivers)
        tx_card = sum(driver.tx.pending for driver in drivers)
        return {
            "rx": {"card": rx_card, "host": sum(driver.rx.size for driver in drivers) - rx_card},
            "tx": {"card": tx_card, "host": sum(driver.tx.size for driver in drivers) - tx_card},
        }

    def registers(self) -> dict[str, int]:
        """The first lane's registers that can be read without effect, by name ("CSR0", "BCR20"), 16 bits each."""
        driver = self._drivers[0]
        named = {f"CSR{number}": driver.read_csr(number) for number in _REGISTERS}
        return named | {f"BCR{number}": driver.read_bcr(number) for number in _BCRS}

    def ring_words(self) -> dict[str, list[tuple[int, int, int]]]:
        """The first lane's rings ("rx", "tx"): (address, status word, count or error word) of each descriptor."""
        driver = self._drivers[0]
        return {"rx": driver.rx.words(), "tx": driver.tx.words()}


def _add(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Sum of dictionaries that have the same keys."""
    total: dict[str, int] = {}
    for one in counts:
        for name, value in one.items():
            total[name] = total.get(name, 0) + value
    return total
