"""The packet device: a chip in software on an interface that is already there, by packet sockets (packet(7)).

It takes nothing away from anybody: the kernel goes on with the interface as before, and a filter says which frames come
here too. Whose address is it? A station of our own has IP addresses of its own and speaks for them, with the
interface's MAC address or another. Otherwise the addresses are the interface's, and the kernel keeps them
(devices/host.py): then only frames for our ports come, and addresses and MTU are followed when they change.

This file brings rings, chip and interface together and takes them apart again; lane.py reads and counts.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from asyncnic.devices.attachment import Attachment, opened
from asyncnic.devices.device import DeviceOptions, WireCounters
from asyncnic.devices.packet import filters
from asyncnic.devices.packet.lane import PacketLane
from asyncnic.devices.packet.link import ETHERNET, Facts, drain_changes, find, open_changes
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.lanes.rules import DEFAULT_LANES, LaneRule, Rule, parse_lanes, parse_shed
from asyncnic.linux.packet import RingSocket, open_sender
from asyncnic.linux.thread import in_thread
from asyncnic.logs import fields
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.settings.knobs import Knobs

log = logging.getLogger(__name__)


class PacketDevice:
    """A chip on the packet ring of an interface; see `asyncnic.devices.device.Device`. Made by `open_device`.

    Attributes:
        lanes: there from the first attachment on.
    """

    backend = "packet"
    chip = "Am79C970A"

    def __init__(self, interface: str, options: DeviceOptions) -> None:
        self.name = f"packet:{interface}"
        self.lanes: tuple[PacketLane, ...] = ()
        self.attachment = Attachment(self.name, self._acquire)
        self._interface = interface
        self._options = options
        self._host = options.packet.host
        self._mac = options.mac or b""
        self._index = 0
        self._changes: socket.socket | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        self._rules, self._shed = rules(options.knobs, shared=self._host is not None)
        self._in_force = options.knobs.lane, options.knobs.shed

    # -- Coming and going ---------------------------------------------------------------------------------------------

    async def _acquire(self, held: AsyncExitStack) -> None:
        """Put the rings on the interface as it is now. They are opened the first time, and stay until `close`, so that
        privileges are needed once only. A renamed interface is found by its index, one that was made anew by its name.
        """
        found = self._check(await in_thread(find, self._interface, self._index))
        if not self.lanes:
            self._mac = self._mac or found.mac
            programs = self._programs()
            self.lanes = tuple(
                self._make_lane(rule.name, program) for rule, program in zip(self._rules, programs, strict=True)
            )
            self._share()
            self._tell_of_shedding()
        held.callback(self._unplug)
        try:
            for lane in self.lanes:
                lane.bind(found.index, promiscuous=self._mac != found.mac, all_multicast=self._host is None)
        except OSError as error:
            raise self._absent(f"the interface went away: {error.strerror}") from None
        self._index = found.index
        self._learn(found)

    def _make_lane(self, name: str, program: bytes | None) -> PacketLane:
        options = self._options
        sender = open_sender(self.name, qdisc_bypass=options.packet.qdisc_bypass)
        try:
            receiver = RingSocket(self.name, options.packet.ring, program)
        except BaseException:
            sender.close()
            raise
        memory = DmaMemory.anonymous(options.memory_size)
        return PacketLane(name, memory, self._mac, options.knobs, options.mtu, self._host, receiver, sender)

    def _check(self, found: Facts | None) -> Facts:
        """The interface, if it can be used."""
        if found is None:
            raise self._absent("no such interface: see ip link")
        if found.kind != ETHERNET or len(found.mac) != 6:
            raise DeviceError(f"{self.name}: is no Ethernet interface: choose another --device")
        if not found.up:
            raise self._absent(f"the interface is down: ip link set {found.name} up")
        if self._host is not None:
            if not found.addresses:
                raise DeviceError(f"{self.name}: the interface has no address: give it one, or use --address")
            if self._mac not in (b"", found.mac):
                raise DeviceError(
                    f"{self.name}: its MAC address is {found.mac.hex(':')}, not {self._mac.hex(':')}: "
                    "restart, or set it back"
                )
        return found

    def _absent(self, why: str) -> DeviceError:
        """The interface is not there: waited for, if it has been."""
        return (DeviceLost if self.attachment.returning else DeviceError)(f"{self.name}: {why}")

    def _programs(self) -> list[bytes | None]:
        """What may come into each lane now; None: everything."""
        parts = filters.shares(self._rules, self._shed)
        if self._host is not None:
            ports = self._host.ports("udp"), self._host.ports("tcp")
            return [filters.of_ports(*ports, share) for share in parts]
        packet = self._options.packet
        if packet.addresses or packet.prefixes:
            return [filters.of_station(packet.addresses, self._mac, share, packet.prefixes) for share in parts]
        return [filters.of_everything(share) for share in parts]

    def no_link(self) -> str:
        """See `Device.no_link`. An interface that is down is lost: its sockets say so."""
        return ""

    def lose(self, came: Callable[[], int]) -> None:
        """See `Device.lose`: the rings stay, with what stands in them and what they count."""
        self._unplug()

    def _unplug(self) -> None:
        for lane in self.lanes:
            lane.unplug()

    async def reattach(self) -> bool:
        """See `Device.reattach`."""
        return await self.attachment.reattach()

    async def close(self) -> None:
        """See `Device.close`. The interface is as it was before."""
        await self.attachment.detach()
        if self._changes is not None:
            asyncio.get_running_loop().remove_reader(self._changes.fileno())
            self._changes.close()
            self._changes = None
        if self._looking is not None:
            self._looking.cancel()
        for lane in self.lanes:
            lane.close()
        if self._host is not None:
            self._host.close()

    # -- Counting and knobs -------------------------------------------------------------------------------------------

    def wire(self) -> WireCounters:
        """See `Device.wire`, and `PacketLane.counts` for what is counted."""
        counts = tuple(lane.counts() for lane in self.lanes)
        return WireCounters(sum(lane.offered for lane in counts), sum(lane.dropped for lane in counts), counts)

    async def apply_knobs(self) -> None:
        """Bring the lanes' rules, and what is shed, to what the knobs ask for now; the rings keep the size that they
        were made with. Lane after lane: a frame that changes lanes may come in both, or in neither, for some
        microseconds.

        Raises:
            DeviceError: it cannot be; the knobs are put back to what holds.
        """
        knobs = self._options.knobs
        if (knobs.lane, knobs.shed) == self._in_force:
            return
        before = self._rules, self._shed
        self._rules, self._shed = rules(knobs, shared=self._host is not None)
        try:
            names = [lane.name for lane in self.lanes]
            if [rule.name for rule in self._rules] != names:
                raise DeviceError(f"--lane: names and order are fixed while running ({', '.join(names)}): restart")
            self._refilter()
        except (DeviceError, OSError) as error:
            self._rules, self._shed = before
            knobs.lane, knobs.shed = self._in_force
            if isinstance(error, DeviceError):
                raise
            self._refilter()
            why = f"{self.name}: the kernel takes no such rules: {error.strerror}: fewer terms"
            raise DeviceError(why) from None
        if knobs.shed != self._in_force[1]:
            self._tell_of_shedding()
        self._in_force = knobs.lane, knobs.shed

    def _tell_of_shedding(self) -> None:
        if self._shed:
            rules = ",".join(rule.text for rule in self._shed)
            log.warning("what is shed is not counted", extra=fields(device=self.name, rules=rules))

    # -- The interface's own address ----------------------------------------------------------------------------------

    def _share(self) -> None:
        """Begin to share the address with the kernel: listen for what changes. Where there is no `host`, nothing."""
        if self._host is None:
            return
        self._host.on_ports = self._refilter
        self._host.open_routes()
        self._changes = open_changes()
        asyncio.get_running_loop().add_reader(self._changes.fileno(), self._changed)

    def _refilter(self) -> None:
        for lane, program in zip(self.lanes, self._programs(), strict=True):
            lane.let_in(program)

    def _changed(self) -> None:
        if self._changes is None:
            return
        drain_changes(self._changes)
        self._look_again = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self._look_again:
            self._look_again = False
            found = await in_thread(find, self._interface, self._index)
            if found is not None and found.index == self._index:
                self._learn(found)

    def _learn(self, found: Facts) -> None:
        if found.name != self._interface:
            log.warning("the interface has another name", extra=fields(device=self.name, name=found.name))
            self._interface = found.name
        if self._host is None or not found.addresses:
            return
        first = not self._host.addresses
        if self._host.learn(found.addresses, found.mtu) and not first:
            shown = ",".join(map(str, found.addresses))
            log.info("the interface's addresses", extra=fields(device=self.name, addresses=shown, mtu=found.mtu))


def rules(knobs: Knobs, *, shared: bool) -> tuple[Sequence[LaneRule], Sequence[Rule]]:
    """The lanes, and what is shed. On an address that is `shared` with the kernel that has all control frames: none of
    the lanes that there are by default would ever get one.
    """
    wanted = () if shared and knobs.lane == DEFAULT_LANES else knobs.lane
    return parse_lanes(wanted), parse_shed(knobs.shed)


async def open_device(name: str, options: DeviceOptions) -> PacketDevice:
    """Open "packet:NAME": NAME is an Ethernet interface that is up.

    Raises:
        DeviceError: there is no such interface, it is down or no Ethernet. PrivilegeError: CAP_NET_RAW is missing.
    """
    return await opened(PacketDevice(name, options))
