"""An address shared with the kernel: ports taken from it and given back, changes told once, packets routed by it."""

import socket

import pytest

from asyncnic.devices.host import SharedHost
from asyncnic.settings.values import interface

ADDRESSES = (interface("192.0.2.1/24"), interface("2001:db8::1/64"))
PORT = 40123


def bind(family: int, kind: int) -> None:
    with socket.socket(family, kind) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("", PORT))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(("kind", "number"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_a_claimed_port_is_nobody_elses_until_it_is_released_as_often(kind: str, number: int, family: int) -> None:
    host = SharedHost()
    told: list[list[int]] = []
    host.on_ports = lambda: told.append(host.ports(kind))
    host.claim(kind, PORT)
    host.claim(kind, PORT)
    host.release(kind, PORT)
    with pytest.raises(OSError, match="in use"):
        bind(family, number)
    host.release(kind, PORT)
    bind(family, number)
    assert told == [[PORT], []]


def test_a_claimed_port_takes_nothing_and_the_kernel_is_silent_about_it() -> None:
    host = SharedHost()
    host.claim("udp", PORT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("127.0.0.1", PORT))
        for _ in range(3):
            asking.send(b"anybody?")  # a port unreachable would be raised by the next
    host.close()
    host.close()
    assert host.ports("udp") == []
    bind(socket.AF_INET, socket.SOCK_DGRAM)


def test_a_port_that_somebody_has_is_refused_and_nothing_is_kept() -> None:
    host = SharedHost()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as theirs:
        theirs.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        theirs.bind(("", PORT))
        with pytest.raises(OSError, match="in use"):
            host.claim("udp", PORT)
        assert host.ports("udp") == []
        bind(socket.AF_INET, socket.SOCK_DGRAM)  # the half that was to be had was given back


def ended(family: int, loopback: str) -> None:
    """Leave a connection on the port that its server ended first: the port's side of it is in TIME-WAIT."""
    with socket.socket(family, socket.SOCK_STREAM) as listener, socket.socket(family, socket.SOCK_STREAM) as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((loopback, PORT))
        listener.listen(1)
        client.connect((loopback, PORT))
        server, _ = listener.accept()
        server.close()
        assert client.recv(1) == b""


@pytest.mark.parametrize(("family", "loopback"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_whose_last_server_is_gone_is_to_be_had_at_once(family: int, loopback: str) -> None:
    ended(family, loopback)
    host = SharedHost()
    host.claim("tcp", PORT)
    assert host.ports("tcp") == [PORT]
    host.close()


@pytest.mark.parametrize(("family", "wildcard"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
def test_a_port_on_which_somebody_listens_is_refused(family: int, wildcard: str) -> None:
    host = SharedHost()
    with socket.create_server((wildcard, PORT), family=family), pytest.raises(OSError, match="in use"):
        host.claim("tcp", PORT)
    assert host.ports("tcp") == []


def test_what_is_learnt_is_told_once() -> None:
    host = SharedHost()
    told: list[int] = []
    host.on_change = lambda: told.append(host.mtu)
    assert [host.learn(ADDRESSES, mtu) for mtu in (1500, 1500, 1400)] == [True, False, True]
    assert host.learn(ADDRESSES[:1], 1400)
    assert told == [1500, 1400, 1400]
    assert host.addresses == ADDRESSES[:1]


@pytest.mark.parametrize(
    ("version", "family", "loopback"), [(4, socket.AF_INET, "127.0.0.1"), (6, socket.AF_INET6, "::1")]
)
def test_a_packet_goes_where_the_kernel_routes_it(version: int, family: int, loopback: str) -> None:
    host = SharedHost()
    frame = _datagram(version, socket.inet_pton(family, loopback))
    assert not host.route(frame)  # nothing to send by yet
    host.open_routes()
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.bind(("", PORT))
        peer.settimeout(10)
        assert host.route(frame)
        assert peer.recv(100) == b"routed"
    host.close()
    assert not host.route(frame)


def test_a_packet_that_the_kernel_does_not_route_is_said_not_to_have_gone() -> None:
    host = SharedHost()
    host.open_routes()
    assert not host.route(_datagram(4, bytes([203, 0, 113, 1])))  # this namespace has no way there
    host.close()


def _datagram(version: int, address: bytes) -> memoryview:
    """A frame with a datagram from port 9 of `address` to `PORT` of it; its checksum is left out, or computed."""
    payload = b"routed"
    udp = (9).to_bytes(2, "big") + PORT.to_bytes(2, "big") + (8 + len(payload)).to_bytes(2, "big")
    if version == 4:
        header = bytes([0x45, 0]) + (28 + len(payload)).to_bytes(2, "big") + bytes([0, 0, 0, 0, 64, 17, 0, 0])
        return memoryview(bytes(14) + header + address * 2 + udp + bytes(2) + payload)
    header = bytes([0x60, 0, 0, 0]) + (8 + len(payload)).to_bytes(2, "big") + bytes([17, 64])
    pseudo = address * 2 + (8 + len(payload)).to_bytes(4, "big") + bytes([0, 0, 0, 17]) + udp + bytes(2) + payload
    checksum = 0xFFFF - int.from_bytes(pseudo, "big") % 0xFFFF
    return memoryview(bytes(14) + header + address * 2 + udp + checksum.to_bytes(2, "big") + payload)
