"""The addresses of one family that this host has, and what follows: what is on the link, what is sent from where.

No routes and no life cycle: duplicate address detection (ndp.py) moves addresses from tentative to usable.
"""

from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Interface

Interface = IPv4Interface | IPv6Interface

LIMITED_BROADCAST = b"\xff" * 4
ALL_HOSTS = bytes((224, 0, 0, 1))
LINK_LOCAL = b"\xfe\x80"
ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"


def link_local(mac: bytes) -> IPv6Interface:
    """The fe80::/64 address with the modified EUI-64 identifier of a MAC address (RFC 4291 appendix A)."""
    identifier = bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return IPv6Interface((LINK_LOCAL + bytes(6) + identifier, 64))


def solicited_node(address: bytes) -> bytes:
    """Multicast group in which an IPv6 address of 16 octets is asked for (RFC 4291 section 2.7.1)."""
    return b"\xff\x02" + bytes(9) + b"\x01\xff" + address[13:]


def is_multicast(address: bytes) -> bool:
    """Whether an address of 4 or 16 octets is a multicast group."""
    return address[0] == 0xFF if len(address) == 16 else address[0] & 0xF0 == 0xE0


def is_link_local(address: bytes) -> bool:
    """Whether an IPv6 address of 16 octets is in fe80::/10."""
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


class Addresses:
    """Own addresses of one family.

    Args:
        interfaces: addresses with their prefixes, all of one family.
        tentative: they must be found unique before they are used.

    `usable` and `tentative` are disjoint sets of addresses as octets; `groups` are the multicast and broadcast
    addresses that this host listens to.
    """

    __slots__ = ("_broadcasts", "_networks", "groups", "tentative", "usable")

    def __init__(self, interfaces: Iterable[Interface], tentative: bool = False) -> None:
        self.usable: dict[bytes, None] = {}
        self.tentative: dict[bytes, None] = {}
        self.groups: set[bytes] = set()
        self._networks: list[tuple[int, int, bytes]] = []
        self._broadcasts: set[bytes] = set()
        for interface in interfaces:
            address = interface.packed
            (self.tentative if tentative else self.usable)[address] = None
            mask = int(interface.network.netmask)
            self._networks.append((int(interface.network.network_address), mask, address))
            if isinstance(interface, IPv6Interface):
                self.groups |= {ALL_NODES, solicited_node(address)}
            else:
                self.groups |= {ALL_HOSTS, LIMITED_BROADCAST}
                if interface.network.prefixlen < 31:  # RFC 3021: a /31 has no broadcast address
                    self._broadcasts.add(interface.network.broadcast_address.packed)
        self.groups |= self._broadcasts

    def __bool__(self) -> bool:
        return bool(self.usable or self.tentative)

    def is_broadcast(self, address: bytes) -> bool:
        """Whether an IPv4 address is the limited or a subnet's broadcast address."""
        return address == LIMITED_BROADCAST or address in self._broadcasts

    def on_link(self, address: bytes) -> bool:
        """Whether an address can be reached without a router."""
        number = int.from_bytes(address, "big")
        return any(number & mask == network for network, mask, _ in self._networks)

    def source_for(self, target: bytes) -> bytes | None:
        """The usable address to send to `target` from: of the same prefix, else of the same scope, else the first."""
        number = int.from_bytes(target, "big")
        for network, mask, address in self._networks:
            if number & mask == network and address in self.usable:
                return address
        if len(target) == 16:
            # Groups of link scope (ff02::/16) and fe80::/10 want a link-local source, all others a global one.
            local = is_link_local(target) or (target[0] == 0xFF and target[1] & 0x0F <= 2)
            for address in self.usable:
                if is_link_local(address) == local:
                    return address
        return next(iter(self.usable), None)
