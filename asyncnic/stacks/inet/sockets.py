"""What a host has open, for people: UDP endpoints, TCP listeners, handshakes and connections as rows. It only reads."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from asyncnic.stacks.inet.endpoint import Endpoint
from asyncnic.stacks.inet.hosts import PrefixEndpoint
from asyncnic.stacks.inet.peer import Address, socket_address
from asyncnic.stacks.inet.tcp.accounts import own_of, peer_of
from asyncnic.stacks.inet.tcp.congestion import UNLIMITED
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.tcp.states import TcpState
from asyncnic.stacks.inet.udp import Udp
from asyncnic.stacks.stack import Socket, Sockets, TcpStanding

ANYBODY = "*"
_OF_CONNECTIONS = [state for state in TcpState if state not in (TcpState.CLOSED, TcpState.LISTEN)]


def sockets(udp: Udp, tcp: Tcp, most: int, now: float) -> Sockets:
    """The first `most` of all, UDP before TCP, listeners before handshakes before connections.

    Args:
        udp, tcp: a host's.
        most: how many to list.
        now: seconds, on the host's clock.
    """
    endpoints: list[Endpoint | PrefixEndpoint] = [one for one in udp.receivers() if isinstance(one, Endpoint)]
    endpoints += [one for one in udp.prefixes() if isinstance(one, PrefixEndpoint)]
    places, half_open = tcp.listening.places, tcp.listening.half_open.entries

    def rows() -> Iterator[Socket]:
        for endpoint in endpoints:
            peer = endpoint.get_extra_info("peername")
            state, other = ("established", shown(peer)) if peer else ("unconnected", ANYBODY)
            local = shown(endpoint.get_extra_info("sockname"))
            yield Socket("udp", state, 0, endpoint.get_write_buffer_size(), local, other)
        for place in places:
            yield Socket("tcp", "listen", 0, 0, shown(socket_address(*place)), ANYBODY)
        for key in half_open:
            yield Socket("tcp", _name(TcpState.SYN_RECEIVED), 0, 0, *_ends(key))
        for connection in tcp.connections.values():
            yield _row(connection, now)

    listed = list(islice(rows(), most))
    return Sockets(listed, len(endpoints) + len(places) + len(half_open) + len(tcp.connections) - len(listed))


def standing(tcp: Tcp) -> TcpStanding:
    """How many handshakes and connections there are, by state, and what they cost."""
    states = Counter(connection.state for connection in tcp.connections.values())
    states[TcpState.SYN_RECEIVED] += len(tcp.listening.half_open)
    return TcpStanding({_name(state): states[state] for state in _OF_CONNECTIONS}, tcp.accounts.memory)


def shown(address: Address) -> str:
    """Host and port as people write them."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _row(connection: Connection, now: float) -> Socket:
    sender, receiver = connection.sender, connection.receiver
    congestion, round_trip = sender.congestion, sender.round_trip
    details: dict[str, int | float | str] = {
        "congestion": congestion.name,
        "mss": sender.mss,
        "cwnd": congestion.window,
        "in_flight": sender.flight,
        "send_window": sender.window,
        "receive_window": max(0, receiver.edge - receiver.nxt),
        "rto": round(round_trip.timeout, 6),
        "memory": connection.charged,
    }
    if congestion.threshold != UNLIMITED:
        details["ssthresh"] = congestion.threshold
    if round_trip.smoothed:
        details |= {"rtt": round(round_trip.smoothed, 6), "rttvar": round(round_trip.variation, 6)}
    if sender.tries:
        details["retries"] = sender.tries
    details["heard"] = round(max(0.0, now - connection.heard), 6)
    return Socket("tcp", _name(connection.state), receiver.unread, len(sender.buffer), *_ends(connection.key), details)


def _ends(key: bytes) -> tuple[str, str]:
    """Our end and the peer's, of a connection's key."""
    own, peer = own_of(key), peer_of(key)
    return (
        shown(socket_address(own, int.from_bytes(key[-2:], "big"))),
        shown(socket_address(peer, int.from_bytes(key[-4:-2], "big"))),
    )


def _name(state: TcpState) -> str:
    return state.name.lower().replace("_", "-")
