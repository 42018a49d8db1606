"""Which frames come into the packet rings at all, and into which lane's, as classic BPF (lanes/classic.py).

What a filter keeps out was never offered, and nobody counts it. Each lane's socket has a program of its own, and a
frame is taken by one of them: a group of sockets among which the kernel chooses (PACKET_FANOUT) can never be bound to
another interface, and an interface that is made anew must be followed without any privilege. Offsets are those of a
frame without a tag, since the kernel has taken that off (and tagged frames belong to interfaces of their own). Nothing
here opens a socket.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from asyncnic.errors import DeviceError
from asyncnic.lanes.classic import (
    AND,
    IF_ABOVE,
    IF_EQUAL,
    IF_SET,
    LOAD_HALF,
    LOAD_HALF_INDEXED,
    LOAD_IPV4_HEADER_LENGTH,
    LOAD_OCTET,
    LOAD_WORD,
    MOST_INSTRUCTIONS,
    PACKET_TYPE,
    VLAN_TAG_PRESENT,
    Code,
)
from asyncnic.lanes.rules import LaneRule, Rule

Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

_MULTICAST = 2
"""PACKET_MULTICAST: this type and those below it (host, broadcast) are for this host."""
_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD
_TCP, _UDP, _FRAGMENT = 6, 17, 44
_ALL_HOSTS, _LIMITED_BROADCAST = bytes((224, 0, 0, 1)), b"\xff" * 4
_ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"
_SOLICITED_NODE = b"\xff\x02" + bytes(9) + b"\x01\xff"
"""RFC 4291 section 2.7.1: followed by an address's last 24 bits."""


@dataclass(frozen=True, slots=True)
class Share:
    """A lane's share of what comes: what its rule takes of that which the lanes before it left, less what is shed."""

    taken_before: Sequence[Rule]
    own: Rule
    shed: Sequence[Rule]

    @property
    def everything(self) -> bool:
        """Whether that is all there is."""
        return not (self.taken_before or self.own.terms or self.shed)


def shares(lanes: Sequence[LaneRule], shed: Sequence[Rule]) -> list[Share]:
    """Each lane's."""
    return [Share([one.rule for one in lanes[:number]], lane.rule, shed) for number, lane in enumerate(lanes)]


def of_ports(udp: Iterable[int], tcp: Iterable[int], share: Share) -> bytes:
    """Frames for this host that go to one of these ports, over IPv4 or IPv6, untagged.

    Of a datagram in pieces all pieces come, whatever its port: only the first one says.
    """
    ports = {_UDP: sorted(set(udp)), _TCP: sorted(set(tcp))}
    code = Code(takes=share.everything)
    _untagged(code)
    _for_this_host(code)
    code.append(LOAD_HALF, 12)
    code.unless(IF_EQUAL, _IPV4, "not IPv4")
    code.append(LOAD_HALF, 20)
    code.when(IF_SET, 0x1FFF, "later piece")
    code.append(LOAD_IPV4_HEADER_LENGTH, 14)
    code.append(LOAD_OCTET, 23)
    _ports(code, ports, "4", lambda: code.append(LOAD_HALF_INDEXED, 16))
    code.label("later piece")
    code.append(LOAD_OCTET, 23)
    code.accept_if(_UDP)
    code.drop()
    code.label("not IPv4")
    code.unless(IF_EQUAL, _IPV6, "no IP")
    code.append(LOAD_OCTET, 20)
    code.when(IF_EQUAL, _FRAGMENT, "pieces")
    _ports(code, ports, "6", lambda: code.append(LOAD_HALF, 56))
    code.label("pieces")
    code.append(LOAD_OCTET, 54)
    code.unless(IF_EQUAL, _UDP, "no IP")
    code.append(LOAD_HALF, 56)
    code.unless(IF_SET, 0xFFF8, "first piece")
    code.accept()
    code.label("first piece")
    code.append(LOAD_HALF, 64)
    for port in ports[_UDP]:
        code.accept_if(port)
    code.label("no IP")
    code.drop()
    return _shared(code, share)


def of_station(addresses: Sequence[Interface], mac: bytes, share: Share, prefixes: Sequence[Network] = ()) -> bytes:
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
    code = Code(takes=share.everything)
    _untagged(code)
    code.append(LOAD_HALF, 12)
    code.unless(IF_EQUAL, _ARP, "no ARP")
    code.append(LOAD_WORD, 38)
    if any(prefix.version == 4 for prefix in prefixes):  # what others say of their addresses is for us to hear
        code.accept()
    for address in own:
        if len(address) == 4:
            code.accept_if(int.from_bytes(address, "big"))
    code.drop()
    code.label("no ARP")
    code.unless(IF_EQUAL, _IPV4, "no IPv4")
    code.append(LOAD_WORD, 30)
    for address in everything:
        if len(address) == 4:
            code.accept_if(int.from_bytes(address, "big"))
    for prefix in prefixes:
        if prefix.version == 4:
            code.append(LOAD_WORD, 30)
            code.append(AND, int(prefix.netmask))
            code.accept_if(int(prefix.network_address))
    code.drop()
    code.label("no IPv4")
    code.unless(IF_EQUAL, _IPV6, "no IP")
    for number, prefix in enumerate(prefixes):
        if prefix.version == 6:
            _masked(code, 38, prefix.network_address.packed, prefix.netmask.packed, f"not in {number}")
            _masked(code, 38, _SOLICITED_NODE + bytes(3), b"\xff" * 13 + bytes(3), f"does not ask {number}")
    for number, address in enumerate(everything):
        if len(address) == 16:
            _masked(code, 38, address, b"\xff" * 16, f"not {number}")
    code.label("no IP")
    code.drop()
    return _shared(code, share)


def _ports(code: Code, ports: dict[int, list[int]], family: str, load: Callable[[], None]) -> None:
    """With the protocol loaded: take the frames to one of its ports, and drop the others."""
    for protocol, numbers in ports.items():
        code.unless(IF_EQUAL, protocol, f"{family} not {protocol}")
        load()
        for port in numbers:
            code.accept_if(port)
        code.drop()
        code.label(f"{family} not {protocol}")
    code.drop()


def of_everything(share: Share) -> bytes | None:
    """Every frame of the share; None where that is all."""
    if share.everything:
        return None
    code = Code(takes=False)
    code.accept()
    return _shared(code, share)


def _shared(code: Code, share: Share) -> bytes:
    """The whole program, of what is accepted only the share.

    Raises:
        DeviceError: the kernel takes none that is so long.
    """
    if not share.everything:
        code.select(share.taken_before, share.own, share.shed)
    program = code.encoded()
    if len(program) > 8 * MOST_INSTRUCTIONS:
        raise DeviceError(f"--lane, --shed: {len(program) // 8} instructions, at most {MOST_INSTRUCTIONS}: fewer terms")
    return program


def _masked(code: Code, offset: int, value: bytes, mask: bytes, label: str) -> None:
    """Accept where octets are `value` under `mask`, both 16 octets; else go on."""
    for part in range(0, 16, 4):
        wanted, bits = (int.from_bytes(octets[part : part + 4], "big") for octets in (value, mask))
        if bits:
            code.append(LOAD_WORD, offset + part)
            code.append(AND, bits)
            code.unless(IF_EQUAL, wanted, label)
    code.accept()
    code.label(label)


def _untagged(code: Code) -> None:
    code.append(LOAD_OCTET, VLAN_TAG_PRESENT)
    code.append(IF_EQUAL, 0, 1, 0)
    code.drop()


def _for_this_host(code: Code) -> None:
    code.append(LOAD_OCTET, PACKET_TYPE)
    code.append(IF_ABOVE, _MULTICAST, 0, 1)
    code.drop()
