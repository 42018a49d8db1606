"""What a stack is, and how one declares itself. No stack is here, and nothing that runs one.

A new stack is one module (or folder) in `asyncnic.stacks` with a `SPEC`: `--stack` takes its name from then on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, Protocol

from asyncnic.sinks.ledger import SinkLedger

if TYPE_CHECKING:
    from asyncnic.nic.nic import Nic

Outcomes = Mapping[str, Mapping[str, int]]
"""What a stack did with its frames: protocol to outcome to packets."""


@dataclass(frozen=True, slots=True)
class Socket:
    """An endpoint, a listener or a connection, as `ss -ti` shows one. Queues and windows are octets, times seconds."""

    protocol: str
    """"udp" or "tcp"."""
    state: str
    """RFC 9293's names in lower case ("fin-wait-1"); an endpoint without a peer is "unconnected"."""
    receive_queue: int
    """Octets that came and that nobody has taken."""
    send_queue: int
    """Octets written that are not sent, or not acknowledged."""
    local: str
    peer: str
    """Host and port, as in "192.0.2.1:80" and "[2001:db8::1]:80"; a peer that may be anybody is "*"."""
    details: dict[str, int | float | str] = field(default_factory=dict)
    """What a connection knows of its way, by name."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Sockets, as many as were asked for, and how many there are beside them."""

    listed: list[Socket] = field(default_factory=list)
    left_out: int = 0

    def first(self, most: int) -> "Sockets":
        """No more than `most` of them listed."""
        return Sockets(self.listed[:most], self.left_out + max(0, len(self.listed) - most))


@dataclass(frozen=True, slots=True)
class TcpStanding:
    """What there is of TCP now; of a stack without one, nothing."""

    connections: dict[str, int] = field(default_factory=dict)
    """How many by state, each state from the start on; handshakes under way too."""
    memory: int = 0
    """Octets that they cost, buffers included."""


class Stack:
    """A stack on a nic. What it has no use for it leaves as it is here: doing nothing, having nothing to say."""

    async def run(self) -> object:
        """Take bursts until the nic ends them. May be called again when it has ended, by itself or by an error."""
        raise NotImplementedError

    def outcomes(self) -> Outcomes:
        """What became of the frames; only grows, over all runs."""
        return {}

    def events(self) -> Mapping[str, int]:
        """What it counts that is not the end of a frame, by name; only grows."""
        return {}

    def exporters(self) -> list[dict[str, object]] | None:
        """Whose numbered datagrams it follows, and what is missing of them; None: nobody's."""
        return None

    def addresses(self) -> Mapping[str, str]:
        """Its addresses, and whether they are "tentative", "preferred" or "duplicate"."""
        return {}

    def sockets(self, most: int) -> Sockets:
        """Its endpoints, listeners and connections now, `most` of them listed."""
        return Sockets()

    def tcp(self) -> TcpStanding:
        """Its TCP connections now, counted."""
        return TcpStanding()

    def sinks(self) -> Mapping[str, SinkLedger]:
        """Its sinks now, by name: where their datagrams went."""
        return {}

    def trouble(self) -> str:
        """Why it does not serve all that it should, in one line; empty: it does."""
        return ""

    def connect(self, pass_on: Callable[[memoryview], None]) -> None:
        """Take what passes a frame on to the stacks of other workers with the same addresses: frames that one of them
        may wait for, such as ARP replies."""

    def overhear(self, frame: bytes) -> None:
        """Hear such a frame of another worker's."""

    def finish(self) -> None:
        """The nic takes no more frames: whatever the stack waits for of others must come, or be given up, soon."""

    async def set_up(self) -> None:
        """Get what is needed before the first run, while there are privileges.

        Raises:
            DeviceError: it cannot be had.
        """

    def close(self) -> None:
        """Let go of what `set_up` has opened. Idempotent."""


class StackSettings(Protocol):
    """What a stack may be made from."""

    @property
    def stack(self) -> str: ...
    @property
    def address(self) -> Sequence[IPv4Interface | IPv6Interface]: ...
    @property
    def own_addresses(self) -> Sequence[IPv4Interface | IPv6Interface]:
        """Those of `address` that are addresses."""

    @property
    def prefixes(self) -> Sequence[IPv4Network | IPv6Network]:
        """Those that are whole prefixes."""

    @property
    def any_hosts(self) -> int: ...
    @property
    def any_passive(self) -> bool: ...
    @property
    def service(self) -> Sequence[str]: ...
    @property
    def sequence_gaps(self) -> Sequence[int]: ...
    @property
    def kernel_if(self) -> str: ...
    @property
    def tcp_connections(self) -> int: ...
    @property
    def tcp_connections_per_source(self) -> int: ...
    @property
    def tcp_half_open(self) -> int: ...
    @property
    def tcp_time_wait(self) -> int: ...
    @property
    def tcp_memory(self) -> int: ...

    def origin(self, name: str) -> str:
        """How the user set this, for messages: "--stack inet"."""


StackFactory = Callable[["Nic"], Stack]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSpec:
    """One kind of stack, as `--stack` takes it.

    Attributes:
        name: what is typed.
        help: who gets the frames then, in a few words.
        make: from the settings what makes it on a nic; imports what is heavy. Raises `SettingsError`.
        alone: why several workers cannot have one each; empty: they can.
        makes_interface: whether it makes an interface of the kernel's anew that was deleted.
    """

    name: str
    help: str
    make: Callable[[StackSettings], StackFactory]
    alone: str = ""
    makes_interface: bool = False
