"""Which frames come into the packet ring at all, as classic BPF: the one kind of program that needs no privilege.

What a filter keeps out was never offered, and nobody counts it. Programs are lists of `struct sock_filter`, built here
from terms; offsets are those of a frame without a tag, since the kernel has taken that off (and tagged frames belong to
interfaces of their own). Nothing here opens a socket.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

# linux/bpf_common.h; jumps go forward, over so many instructions.
_LOAD_WORD, _LOAD_HALF, _LOAD_OCTET = 0x20, 0x28, 0x30
_LOAD_HALF_INDEXED, _LOAD_IPV4_HEADER_LENGTH = 0x48, 0xB1
_IF_EQUAL, _IF_ABOVE, _IF_SET, _GO = 0x15, 0x25, 0x45, 0x05
_RETURN, _AND = 0x06, 0x54
_PACKET_TYPE, _VLAN_TAG_PRESENT = 0xFFFF_F000 + 4, 0xFFFF_F000 + 48
"""Loads that look beside the frame (SKF_AD_OFF, linux/filter.h)."""
_MULTICAST = 2
"""PACKET_MULTICAST: this type and those below it (host, broadcast) are for this host."""
_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD
_TCP, _UDP, _FRAGMENT = 6, 17, 44
_WHOLE = 0x7FFF_FFFF
_ALL_HOSTS, _LIMITED_BROADCAST = bytes((224, 0, 0, 1)), b"\xff" * 4
_ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"
_SOLICITED_NODE = b"\xff\x02" + bytes(9) + b"\x01\xff"
"""RFC 4291 section 2.7.1: followed by an address's last 24 bits."""


def of_ports(udp: Iterable[int], tcp: Iterable[int]) -> bytes:
    """Frames for this host that go to one of these ports, over IPv4 or IPv6, untagged.

    Of a datagram in pieces all pieces come, whatever its port: only the first one says.
    """
    ports = {_UDP: sorted(set(udp)), _TCP: sorted(set(tcp))}
    code = _Code()
    code.untagged()
    code.for_this_host()
    code.load(_LOAD_HALF, 12)
    code.unless(_IF_EQUAL, _IPV4, "not IPv4")
    code.load(_LOAD_HALF, 20)
    code.when(_IF_SET, 0x1FFF, "later piece")
    code.append(_LOAD_IPV4_HEADER_LENGTH, 14)
    code.load(_LOAD_OCTET, 23)
    _ports(code, ports, "4", lambda: code.load(_LOAD_HALF_INDEXED, 16))
    code.label("later piece")
    code.load(_LOAD_OCTET, 23)
    code.accept_if(_UDP)
    code.drop()
    code.label("not IPv4")
    code.unless(_IF_EQUAL, _IPV6, "no IP")
    code.load(_LOAD_OCTET, 20)
    code.when(_IF_EQUAL, _FRAGMENT, "pieces")
    _ports(code, ports, "6", lambda: code.load(_LOAD_HALF, 56))
    code.label("pieces")
    code.load(_LOAD_OCTET, 54)
    code.unless(_IF_EQUAL, _UDP, "no IP")
    code.load(_LOAD_HALF, 56)
    code.unless(_IF_SET, 0xFFF8, "first piece")
    code.accept()
    code.label("first piece")
    code.load(_LOAD_HALF, 64)
    for port in ports[_UDP]:
        code.accept_if(port)
    code.label("no IP")
    code.drop()
    return code.encoded()


def of_station(addresses: Sequence[Interface], mac: bytes, prefixes: Sequence[Network] = ()) -> bytes:
    """Frames for a station with these addresses, untagged: what goes to one of them (or to the link-local one that an
    IPv6 host has besides) or to a group that they are in, and ARP that asks for one or answers to it. With prefixes,
    all of whose addresses are its own, all ARP, and all groups in which IPv6 addresses are asked for.
    """
    own = [interface.packed for interface in addresses]
    groups: set[bytes] = set()
    for interface in addresses:
        if isinstance(interface, IPv4Interface):
            groups |= {_ALL_HOSTS, _LIMITED_BROADCAST, interface.network.broadcast_address.packed}
    for prefix in prefixes:
        groups |= {_ALL_HOSTS, _LIMITED_BROADCAST} if prefix.version == 4 else {_ALL_NODES}
    if any(len(address) == 16 for address in own) or any(prefix.version == 6 for prefix in prefixes):
        own.append(b"\xfe\x80" + bytes(6) + bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:])
        groups |= {_ALL_NODES, *(_SOLICITED_NODE + address[13:] for address in own if len(address) == 16)}
    everything = [*own, *sorted(groups)]
    code = _Code()
    code.untagged()
    code.load(_LOAD_HALF, 12)
    code.unless(_IF_EQUAL, _ARP, "no ARP")
    code.load(_LOAD_WORD, 38)
    if any(prefix.version == 4 for prefix in prefixes):  # what others say of their addresses is for us to hear
        code.accept()
    for address in own:
        if len(address) == 4:
            code.accept_if(int.from_bytes(address, "big"))
    code.drop()
    code.label("no ARP")
    code.unless(_IF_EQUAL, _IPV4, "no IPv4")
    code.load(_LOAD_WORD, 30)
    for address in everything:
        if len(address) == 4:
            code.accept_if(int.from_bytes(address, "big"))
    for prefix in prefixes:
        if prefix.version == 4:
            code.load(_LOAD_WORD, 30)
            code.append(_AND, int(prefix.netmask))
            code.accept_if(int(prefix.network_address))
    code.drop()
    code.label("no IPv4")
    code.unless(_IF_EQUAL, _IPV6, "no IP")
    for number, prefix in enumerate(prefixes):
        if prefix.version == 6:
            code.masked(38, prefix.network_address.packed, prefix.netmask.packed, f"not in {number}")
            code.masked(38, _SOLICITED_NODE + bytes(3), b"\xff" * 13 + bytes(3), f"does not ask {number}")
    for number, address in enumerate(everything):
        if len(address) == 16:
            code.masked(38, address, b"\xff" * 16, f"not {number}")
    code.label("no IP")
    code.drop()
    return code.encoded()


def _ports(code: "_Code", ports: dict[int, list[int]], family: str, load: Callable[[], None]) -> None:
    """With the protocol loaded: take the frames to one of its ports, and drop the others."""
    for protocol, numbers in ports.items():
        code.unless(_IF_EQUAL, protocol, f"{family} not {protocol}")
        load()
        for port in numbers:
            code.accept_if(port)
        code.drop()
        code.label(f"{family} not {protocol}")
    code.drop()


class _Code:
    """A program under construction. Conditional jumps reach 255 instructions: those to a label go by a long one."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int | str]] = []
        self._labels: dict[str, int] = {}

    def append(self, code: int, value: int | str, when: int = 0, otherwise: int = 0) -> None:
        self._code.append((code, when, otherwise, value))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def load(self, code: int, offset: int) -> None:
        self.append(code, offset)

    def unless(self, test: int, value: int, label: str) -> None:
        self.append(test, value, 1, 0)
        self.append(_GO, label)

    def when(self, test: int, value: int, label: str) -> None:
        self.append(test, value, 0, 1)
        self.append(_GO, label)

    def accept_if(self, value: int) -> None:
        self.append(_IF_EQUAL, value, 0, 1)
        self.accept()

    def accept(self) -> None:
        self.append(_RETURN, _WHOLE)

    def drop(self) -> None:
        self.append(_RETURN, 0)

    def masked(self, offset: int, value: bytes, mask: bytes, label: str) -> None:
        """Accept where octets are `value` under `mask`, both 16 octets; else go on."""
        for part in range(0, 16, 4):
            wanted, bits = (int.from_bytes(octets[part : part + 4], "big") for octets in (value, mask))
            if bits:
                self.load(_LOAD_WORD, offset + part)
                self.append(_AND, bits)
                self.unless(_IF_EQUAL, wanted, label)
        self.accept()
        self.label(label)

    def untagged(self) -> None:
        self.load(_LOAD_OCTET, _VLAN_TAG_PRESENT)
        self.append(_IF_EQUAL, 0, 1, 0)
        self.drop()

    def for_this_host(self) -> None:
        self.load(_LOAD_OCTET, _PACKET_TYPE)
        self.append(_IF_ABOVE, _MULTICAST, 0, 1)
        self.drop()

    def encoded(self) -> bytes:
        octets = bytearray()
        for position, (code, when, otherwise, value) in enumerate(self._code):
            number = self._labels[value] - position - 1 if isinstance(value, str) else value
            octets += struct.pack("=HBBI", code, when, otherwise, number)
        return bytes(octets)
