"""What the layers hand each other: a received packet, and what became of a sent one. No behaviour."""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from asyncnic.stacks.inet.outcomes import Outcome

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
UDP_HEADER = 8


class Packet:
    """An IPv4 or IPv6 packet that is sound and for us. Valid as long as the burst that it lies in.

    Args:
        source: 4 or 16 octets.
        target: as many; one of our addresses, or a group that we are in.
        protocol: of `payload`.
        payload: upper-layer header and data.
        whole: from the IP header on, as far as an ICMP error quotes it.
        group: it went to several hosts (broadcast or multicast, of IP or of the link): no errors in reply.
        hop_limit: as received.
        mac: 6 octets, whose frame brought it.

    `fragmented`: it had a fragment header, or came in fragments. `alert`: it carries IPv6's router alert option.
    """

    __slots__ = (
        *("alert", "fragmented", "group", "hop_limit", "mac"),
        *("payload", "protocol", "source", "target", "whole"),
    )

    def __init__(
        self,
        source: bytes,
        target: bytes,
        protocol: int,
        payload: memoryview,
        whole: memoryview,
        group: bool,
        hop_limit: int,
        mac: bytes,
    ) -> None:
        self.source = source
        self.target = target
        self.protocol = protocol
        self.payload = payload
        self.whole = whole
        self.group = group
        self.hop_limit = hop_limit
        self.mac = mac
        self.fragmented = False
        self.alert = False


class Sent(Enum):
    """What became of a packet that was to be sent."""

    TAKEN = "taken"
    """By the transmit ring, or by the queue of a neighbour that is being resolved."""
    FULL = "full"
    """No room: try again when there is some."""
    NO_ROUTE = "no route"
    NO_SOURCE = "no source"
    """The address that it should come from is not, or not yet, or no longer in use."""


class IpLayer(Protocol):
    """What upper protocols ask of IPv4 and of IPv6 alike."""

    def source_for(self, target: bytes) -> bytes | None:
        """Our address that fits `target`; None where there is none yet."""

    def owns(self, address: bytes) -> bool:
        """Whether `address` is ours, and in use."""

    def send(self, protocol: int, payload: bytes, source: bytes, target: bytes, now: float) -> Sent:
        """Send `payload`, in fragments where it must be."""


Handler = Callable[[Packet, float], Outcome]
"""Takes a packet at a time in seconds and says where it ended."""
