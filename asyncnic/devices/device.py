"""What the nic asks of a device, whatever its chip is made of.

A device brings one or more lanes. A lane is a chip (a `Port`) with a receive ring of its own and a descriptor of the
operating system that becomes readable when there may be work. Devices do no packet work: they bring chip, wire and
interrupt together and count what the wire offered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Protocol

from asyncnic.devices.host import SharedHost
from asyncnic.hot.queue import QueueReader
from asyncnic.pcnet32.port import Port
from asyncnic.settings.knobs import Knobs


@dataclass(frozen=True, slots=True)
class PacketOptions:
    """What a packet device is told besides. Without `addresses` and `host` it takes every frame that comes."""

    ring: int = 4096
    """Frames that the kernel's ring holds, at most."""
    qdisc_bypass: bool = False
    """Whether frames go straight to the interface's driver, past the host's queueing discipline."""
    addresses: Sequence[IPv4Interface | IPv6Interface] = ()
    """A station of our own: its addresses, with their prefixes."""
    prefixes: Sequence[IPv4Network | IPv6Network] = ()
    """Prefixes all of whose addresses are its own besides."""
    host: SharedHost | None = None
    """The interface's own addresses: what is shared with the kernel, which keeps them."""


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """What a device is opened with."""

    mac: bytes | None
    """The station address; None lets the device choose."""
    mtu: int
    """Octets of payload in a frame, at most."""
    host_address: str
    """Address with prefix length for the host's side of a TAP; empty leaves it alone."""
    memory_size: int
    """Octets of DMA memory that the driver needs in one piece, for each lane."""
    knobs: Knobs
    """The live knobs; a device reads `overload` and those of lanes and queues on the wire."""
    packet: PacketOptions = field(default_factory=PacketOptions)


@dataclass(frozen=True, slots=True)
class LaneCounters:
    """A lane's part of `WireCounters`, in frames. `waiting` stand in its queue; None where nobody counts them."""

    offered: int
    dropped: int
    waiting: int | None = None


@dataclass(frozen=True, slots=True)
class WireCounters:
    """What the wire's own counter says since the device was attached; monotonic across loss and re-attachment.

    `dropped` has everything that the wire dropped. `lanes` are in the device's order; empty where there is one, whose
    part is all. `shed` is by rule, `shed_total` with that of rules no longer remembered; both are in `dropped`, and in
    no lane. `lost` were offered, not dropped, and were inside the chip when the device went away.
    """

    offered: int
    dropped: int
    lanes: tuple[LaneCounters, ...] = ()
    shed: Mapping[str, int] = field(default_factory=dict)
    shed_total: int = 0
    lost: int = 0


NEVER = -1


class Lane(Protocol):
    """One chip with its ring, its queue on the wire and its interrupt."""

    name: str
    counts_filtered: bool
    """True where the chip counts the frames that its address filter rejects (`Lane.filtered`). Where it does not, the
    driver runs the chip promiscuous and filters itself, so that no filtered frame looks like a lost one."""

    @property
    def doorbell(self) -> Callable[[], None] | None:
        """Where the chip is in this process: makes it look at its transmit ring now, as a write of TDMD would. Such a
        chip needs no acknowledgement: frames make `fileno` readable whether its line is up or not. None: it is
        somewhere else, and has registers only.
        """

    @property
    def queue(self) -> QueueReader | None:
        """What fills the chip from its queue on the wire, where both are at hand: what `poll` would do. None: ask
        `poll`.
        """

    @property
    def port(self) -> Port:
        """The chip."""

    @property
    def filtered(self) -> int:
        """Frames that the chip's address filter rejected; 0 for ever where `counts_filtered` is False."""

    def fileno(self) -> int | None:
        """Descriptor that is readable when the chip may have work; None where the ring must be polled on a timer, and
        `NEVER` where nothing can come.
        """

    def readable(self) -> bool:
        """Whether the wire has a frame that the chip must be helped to, looked at without taking it: what a waiting nic
        should have been woken for. False where the chip helps itself, whose ring tells.
        """

    def poll(self, limit: int) -> int:
        """Let the chip take up to `limit` frames off its wire; frames stored or dropped. Real chips need no help: 0.

        Raises:
            DeviceLost: the wire is gone.
            WireEnded: the wire has no more frames, and never will have.
        """

    def interrupt(self) -> None:
        """Consume the readiness of `fileno`. Called before the chip's causes are read.

        Raises:
            DeviceLost: the device is gone.
        """

    def unmask(self) -> None:
        """Let the next interrupt through. Called when the chip's causes are acknowledged and its line is low."""


class Device(Protocol):
    """A NIC: named, attached, counted."""

    name: str
    backend: str
    chip: str

    @property
    def lanes(self) -> Sequence[Lane]:
        """All lanes, highest first; they stay for good."""

    def wire(self) -> WireCounters | None:
        """The wire's own count, read now (well under a millisecond); None where the wire cannot be asked.

        Raises:
            DeviceLost: the wire or the chip is gone, and `lose` has not been called.
        """

    def no_link(self) -> str:
        """Why the wire carries nothing though it is there, in a few words ("the interface is down"); empty: it does, or
        it cannot be asked. It is not lost, and nobody but whoever set it down brings it back.

        Raises:
            DeviceLost: as `wire`.
        """

    def lose(self, came: Callable[[], int]) -> None:
        """The device is lost: count for the last time. Nothing comes of its lanes until `reattach`. Idempotent.

        Args:
            came: how many frames have come off the wire into all chips together, as their drivers say. It asks the
                chips, as far as they still answer, so it is called when nothing more can come.
        """

    async def apply_knobs(self) -> None:
        """Bring the device to the knobs that are not read at every burst (queues on the wire, rules of lanes), after
        they have changed.

        Raises:
            DeviceError: it cannot be; the knobs are put back to what holds.
        """

    async def reattach(self) -> bool:
        """After `DeviceLost`: try once to come back. True when the lanes work again (with a chip fresh from reset).

        Why not is logged by the device; it raises nothing.
        """

    async def close(self) -> None:
        """Let go of everything that was opened. Idempotent."""
