"""Who sent a datagram, and which address of ours it was sent to. A tuple for applications; it looks nothing up."""

import socket
from typing import Any

Address = tuple[Any, ...]
"""(host, port) or (host, port, flow info, scope id), as `socket` has them."""

Route = tuple[bytes, int, bytes]
"""Where a datagram goes: address (4 or 16 octets) and port, and the address of ours that it comes from."""


def socket_address(address: bytes, port: int) -> Address:
    """The tuple that `socket` has for an address of 4 or 16 octets."""
    if len(address) == 4:
        return socket.inet_ntop(socket.AF_INET, address), port
    return socket.inet_ntop(socket.AF_INET6, address), port, 0, 0


class Peer(tuple[Any, ...]):
    """The address that `datagram_received` is told: an `Address`, equal to it, which knows ours as well.

    `local` is our address and port that the datagram was sent to; of one to a group, the address that answers come
    from. What is sent to a `Peer` leaves from there (RFC 1122 section 4.1.3.5). `route` is the same in octets, for
    `sendto`. Both stay as they are: one object serves all datagrams of a flow. `answered`: something was sent to it.
    """

    local: Address
    route: Route
    answered: bool = False

    @classmethod
    def of(cls, address: bytes, port: int, own: bytes, own_port: int) -> "Peer":
        """The peer at `address` and `port` that asked at `own` and `own_port`; addresses of 4 or 16 octets."""
        peer = cls(socket_address(address, port))
        peer.local = socket_address(own, own_port)
        peer.route = address, port, own
        return peer
