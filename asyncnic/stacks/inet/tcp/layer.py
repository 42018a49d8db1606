"""What TCP asks of the IP layer below it, of IPv4 and IPv6 alike. No behaviour but arithmetic."""

from typing import Protocol

from asyncnic.hot.transmit import Template
from asyncnic.stacks.inet.packet import TCP, IpLayer, Sent
from asyncnic.stacks.inet.tcp.segment import HEADER

Place = tuple[bytes, int]
"""Address (4 or 16 octets) and port."""


class TcpLayer(IpLayer, Protocol):
    """One family's IP layer."""

    @property
    def header_size(self) -> int:
        """Octets of the IP header."""

    @property
    def link_mtu(self) -> int:
        """Octets of the largest packet on the link."""

    def has(self, address: bytes) -> bool:
        """Whether `address` is ours, in use or about to be."""

    def path_mtu(self, target: bytes, now: float) -> int:
        """Octets of the largest packet that reaches `target` whole, as far as known."""

    def lower_path_mtu(self, target: bytes, mtu: int, now: float) -> None:
        """A router said that `mtu` octets are the most on the way to `target`."""

    def hold(self, target: bytes) -> None:
        """A connection with `target` begins: the way there is to be kept."""

    def release(self, target: bytes) -> None:
        """A connection with `target` is over."""

    def stream_template(self, source: bytes, target: bytes, ports: bytes, now: float) -> Template | None:
        """What all segments of a connection (`ports`: source and target, 4 octets) have in common; None where the way
        is not known.
        """

    def send(
        self, protocol: int, payload: bytes, source: bytes, target: bytes, now: float, whole: bool = False
    ) -> Sent:
        """Send `payload`; `whole`: no router may cut it."""


def segment_room(mtu: int, layer: TcpLayer) -> int:
    """Octets of data in a packet of `mtu` octets, without options (RFC 6691)."""
    return mtu - layer.header_size - HEADER


def pseudo(source: bytes, target: bytes) -> int:
    """Sum of the pseudo header without its length: see `segment.decode`."""
    return int.from_bytes(source, "big") + int.from_bytes(target, "big") + TCP
