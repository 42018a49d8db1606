"""Frames for the tests of lanes: well-formed ones of every kind that rules know, and damage to do to them."""

import struct
from collections.abc import Callable
from ipaddress import ip_address

from hypothesis import strategies as st

V4 = ("192.0.2.1", "192.0.2.200", "198.51.100.7", "198.51.101.7", "203.0.113.9")
V6 = ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::7", "2001:db8:8000::1", "fe80::1", "ff02::1:ff00:1")
PORTS = (9, 53, 179, 5353, 65535)
OPTIONS = (0, 43, 60)


def ethernet(ethertype: int, payload: bytes, *tags: int) -> bytes:
    """A frame with a tag of TPID 0x8100 for each TCI in `tags`."""
    inserted = b"".join(struct.pack("!HH", 0x8100, tag) for tag in tags)
    return bytes.fromhex("020000000002 020000000001") + inserted + struct.pack("!H", ethertype) + payload


def ipv4(protocol: int, payload: bytes, source: str, destination: str, options: int = 0, fragment: int = 0) -> bytes:
    """`options`: words of four octets; `fragment`: flags and offset."""
    addresses = ip_address(source).packed + ip_address(destination).packed + b"\x01" * (4 * options)

    def head(checksum: int) -> bytes:
        length = 20 + 4 * options + len(payload)
        return struct.pack("!BBHHHBBH", 0x45 + options, 0, length, 1, fragment, 64, protocol, checksum) + addresses

    return head(0xFFFF - int.from_bytes(head(0), "big") % 0xFFFF) + payload


def ipv6(protocol: int, payload: bytes, source: str, destination: str) -> bytes:
    head = struct.pack("!IHBB", 0x6000_0000, len(payload), protocol, 64)
    return head + ip_address(source).packed + ip_address(destination).packed + payload


def option_header(following: int, units: int = 0) -> bytes:
    """Hop-by-hop, routing or destination options, 8 * (units + 1) octets."""
    return bytes((following, units)) + bytes(8 * units + 6)


def fragment_header(following: int, offset: int = 0, more: int = 0) -> bytes:
    return struct.pack("!BBHI", following, 0, offset << 3 | more, 7)


def ports(source: int, destination: int) -> bytes:
    return struct.pack("!HH", source, destination) + bytes(16)


def udp4(source: int = 1024, destination: int = 9, address: str = "192.0.2.1") -> bytes:
    return ethernet(0x0800, ipv4(17, ports(source, destination), address, "192.0.2.2"))


ARP = ethernet(0x0806, bytes.fromhex("0001080006040001") + bytes(38))
PING4 = ethernet(0x0800, ipv4(1, b"\x08" + bytes(31), "192.0.2.1", "192.0.2.2"))
SOLICITATION = ethernet(0x86DD, ipv6(58, b"\x87" + bytes(31), "fe80::1", "ff02::1:ff00:1"))
PING6 = ethernet(0x86DD, ipv6(58, b"\x80" + bytes(31), "2001:db8::1", "2001:db8::2"))


def _corners() -> list[bytes]:
    """Each choice of the reading, from both of its sides."""
    packet4, packet6 = ipv4(17, ports(1, 53), V4[0], V4[2]), ipv6(17, ports(1, 53), V6[0], V6[4])
    found = [ARP, PING4, PING6, SOLICITATION, udp4(), udp4(53), udp4(1, 53), ethernet(0x88CC, bytes(46))]
    found += [ethernet(0x0800, packet4, *tags) for tags in ([7], [0x1007], [0xE007], [0x0807], [0], [7, 8], [8, 7])]
    found += [ethernet(0x86DD, packet6, 0xF007), ethernet(0x88A8, struct.pack("!HH", 7, 0x0800) + packet4)]
    found += [ethernet(0x86DD, ipv6(58, bytes((kind, 0, 0, 0)), V6[4], V6[5])) for kind in (132, 133, 137, 138)]
    found += [ethernet(0x86DD, ipv6(number, bytes(8), V6[0], V6[1])) for number in (1, 59)]
    found += [ethernet(0x0800, ipv4(number, b"\x87" + bytes(7), V4[0], V4[1])) for number in (58, 6)]
    found += [ethernet(0x0800, ipv4(17, ports(1, 53), V4[0], V4[1], words)) for words in (1, 10)]
    found += [
        ethernet(0x0800, ipv4(17, ports(1, 53), V4[0], V4[1], fragment=fragment))
        for fragment in (0x8000, 0x4000, 0x2000, 0x2001, 0x1000, 0x0001)
    ]
    found += [
        ethernet(0x86DD, ipv6(44, fragment_header(17, offset, more) + ports(1, 53), V6[0], V6[1]))
        for offset in (0, 1, 8191)
        for more in (0, 1)
    ]
    for count in range(1, 7):
        for kinds in (OPTIONS, (44,)):
            following, payload = 17, ports(1, 53)
            for number in range(count):
                kind = kinds[number % len(kinds)]
                header = fragment_header(following) if kind == 44 else option_header(following, number)
                following, payload = kind, header + payload
            found.append(ethernet(0x86DD, ipv6(following, payload, V6[0], V6[1])))
    for first in (0x44, 0x35, 0x54, 0x60, 0x70, 0x4F):
        found += [ethernet(0x0800, bytes((first,)) + packet4[1:]), ethernet(0x86DD, bytes((first,)) + packet6[1:])]
    tagged = ethernet(0x0800, packet4, 7)
    walked = ethernet(0x86DD, ipv6(0, option_header(44) + fragment_header(17) + ports(1, 53), V6[0], V6[1]), 7)
    found += [frame[:octets] for frame in (tagged, walked) for octets in range(1, len(frame))]
    return found


CORNERS = _corners()
_payloads: st.SearchStrategy[tuple[int, bytes]] = st.one_of(
    st.tuples(st.sampled_from((6, 17)), st.builds(ports, st.sampled_from(PORTS), st.sampled_from(PORTS))),
    st.tuples(st.sampled_from((1, 58)), st.integers(0, 255).map(lambda kind: bytes((kind,)) + bytes(7))),
    st.tuples(st.sampled_from((58,)), st.integers(132, 138).map(lambda kind: bytes((kind,)) + bytes(7))),
    st.tuples(st.integers(0, 255), st.binary(max_size=8)),
)


@st.composite
def _ipv4_packets(draw: st.DrawFn) -> bytes:
    protocol, payload = draw(_payloads)
    fragment = draw(st.sampled_from((0, 0, 0x4000, 0x2000, 0x2001, 0x00B9)))
    options = draw(st.sampled_from((0, 0, 1, 10)))
    return ipv4(protocol, payload, draw(st.sampled_from(V4)), draw(st.sampled_from(V4)), options, fragment)


@st.composite
def _ipv6_packets(draw: st.DrawFn) -> bytes:
    following, payload = draw(_payloads)
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from((*OPTIONS, 44)))
        if kind == 44:
            header = fragment_header(following, draw(st.sampled_from((0, 0, 1, 185))), draw(st.integers(0, 1)))
        else:
            header = option_header(following, draw(st.integers(0, 3)))
        following, payload = kind, header + payload
    return ipv6(following, payload, draw(st.sampled_from(V6)), draw(st.sampled_from(V6)))


def _dress(ethertype: int) -> Callable[[bytes, list[int]], bytes]:
    return lambda payload, tags: ethernet(ethertype, payload, *tags)


_tags = st.lists(st.integers(0, 0xFFFF) | st.just(7), max_size=2)
whole_frames: st.SearchStrategy[bytes] = st.one_of(
    st.builds(_dress(0x0806), st.just(ARP[14:]), _tags),
    st.builds(_dress(0x0800), _ipv4_packets(), _tags),
    st.builds(_dress(0x86DD), _ipv6_packets(), _tags),
    st.builds(_dress(0x88CC), st.binary(max_size=46), _tags),
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    frame = bytearray(draw(whole_frames))
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(st.integers(12, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(1, len(frame)))])


frames: st.SearchStrategy[bytes] = st.one_of(whole_frames, _damaged(), st.binary(min_size=1, max_size=120))
"""Any octets, from noise to well-formed; at least one, the least that the kernel takes for a test run."""

_addresses = st.one_of(
    st.tuples(st.sampled_from(V4), st.integers(0, 32)), st.tuples(st.sampled_from(V6), st.integers(0, 128))
)


def _prefix(side: str, address: tuple[str, int]) -> str:
    bits, length = ip_address(address[0]), address[1]
    host = bits.max_prefixlen - length
    return f"{side}:{type(bits)(int(bits) >> host << host)}/{length}"


tokens: st.SearchStrategy[str] = st.one_of(
    st.sampled_from(("arp", "nd", "icmp", "icmp6", "tcp", "udp", "vlan:7", "ether:0x88cc", "ether:0x0800")),
    st.builds("{}:{}".format, st.sampled_from(("tcp", "udp")), st.sampled_from(PORTS)),
    st.builds("vlan:{}".format, st.integers(0, 4095)),
    st.builds("ether:0x{:04x}".format, st.integers(0x600, 0xFFFF)),
    st.builds(_prefix, st.sampled_from(("src", "dst")), _addresses),
)
rule_texts: st.SearchStrategy[str] = st.lists(tokens, min_size=1, max_size=5).map(",".join)
