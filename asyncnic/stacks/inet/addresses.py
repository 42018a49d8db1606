"""The addresses of one family that this host has, and what follows: what is on the link, what is sent from where.

No routes and no life cycle: life.py says which addresses are in use.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Interface, IPv6Interface

from asyncnic.stacks.inet.prefixes import Prefixes

Interface = IPv4Interface | IPv6Interface

LIMITED_BROADCAST = b"\xff" * 4
ALL_HOSTS = bytes((224, 0, 0, 1))
LINK_LOCAL = b"\xfe\x80"
UNSPECIFIED = bytes(16)
ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"

SOURCES = 1024
"""Targets whose source address is remembered."""
# ::/96 holds the unspecified address, the loopback address and the deprecated IPv4-compatible ones.
_NO_HOST = bytes(12), bytes(10) + b"\xff\xff"
# Longest first; fc00::/7 is two prefixes of whole octets.
_LABELS = ((b"\x20\x01\0\0", 5), (b"\x20\x02", 2), (b"\xfc", 13), (b"\xfd", 13), (b"", 1))


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
        gateway: of the family, 4 or 16 octets; None: there is none.
        prefixes: all of whose addresses are ours besides.

    `usable` and `tentative` are disjoint sets of addresses as octets; `groups` are the multicast and broadcast
    addresses that this host listens to. `on_change` is called when one begins or ceases to be used.
    """

    __slots__ = (
        *("_broadcasts", "_gateway", "_networks", "_sources"),
        *("groups", "on_change", "prefixes", "tentative", "usable"),
    )

    def __init__(
        self,
        interfaces: Iterable[Interface],
        tentative: bool = False,
        gateway: bytes | None = None,
        prefixes: Prefixes | None = None,
    ) -> None:
        self.prefixes = prefixes or None
        self.on_change: Callable[[], None] = _nothing
        self.usable: dict[bytes, None] = {}
        self.tentative: dict[bytes, None] = {}
        self.groups: set[bytes] = set()
        self._gateway = gateway
        self._networks: dict[bytes, tuple[int, int]] = {}
        self._sources: dict[bytes, bytes | None] = {}
        self._broadcasts: set[bytes] = set()
        self.renew(interfaces, tentative)

    def renew(self, interfaces: Iterable[Interface], tentative: bool = False) -> None:
        """Have these addresses, and no others, from now on."""
        for kept in (self.usable, self.tentative, self.groups, self._networks, self._sources, self._broadcasts):
            kept.clear()
        for interface in interfaces:
            address = interface.packed
            (self.tentative if tentative else self.usable)[address] = None
            mask = int(interface.network.netmask)
            self._networks[address] = int(interface.network.network_address), mask
            if isinstance(interface, IPv6Interface):
                self.groups |= {ALL_NODES, solicited_node(address)}
            else:
                self.groups |= {ALL_HOSTS, LIMITED_BROADCAST}
                if interface.network.prefixlen < 31:  # RFC 3021: a /31 has no broadcast address
                    self._broadcasts.add(interface.network.broadcast_address.packed)
        self.groups |= self._broadcasts
        if self.prefixes is not None:
            versions = {network.version for network in self.prefixes.networks}
            self.groups |= {ALL_NODES} if 6 in versions else {ALL_HOSTS, LIMITED_BROADCAST}

    def __bool__(self) -> bool:
        return bool(self.usable or self.tentative or self.prefixes)

    def owns(self, address: bytes) -> bool:
        """Whether an address is in use as ours: one by itself, or one of a prefix."""
        return address in self.usable or (self.prefixes is not None and address in self.prefixes)

    def has(self, address: bytes) -> bool:
        """Whether an address is ours, in use or still to be found unique."""
        return self.owns(address) or address in self.tentative

    def hears(self, group: bytes) -> bool:
        """Whether we listen to a multicast or broadcast address."""
        return group in self.groups or (
            self.prefixes is not None and len(group) == 16 and self.prefixes.solicits(group)
        )

    def become(self, address: bytes, usable: bool, tentative: bool = False) -> bool:
        """Have an address of ours in use, tentative, or neither; whether that is a change."""
        was = address in self.usable, address in self.tentative
        if was == (usable, tentative):
            return False
        for kept, wanted in ((self.usable, usable), (self.tentative, tentative)):
            kept.pop(address, None)
            if wanted:
                kept[address] = None
        self._sources.clear()
        self.on_change()
        return True

    def is_broadcast(self, address: bytes) -> bool:
        """Whether an IPv4 address is the limited or a subnet's broadcast address."""
        return address == LIMITED_BROADCAST or address in self._broadcasts

    def is_host(self, address: bytes) -> bool:
        """Whether `address` can be a single other host's (RFC 1122 section 3.2.1.3, RFC 4291 sections 2.5 and 2.7).

        IPv4-mapped addresses are none on a wire: nobody could tell whom an answer would go to.
        """
        if self.owns(address):
            return False
        if len(address) == 4:
            return 0 < address[0] < 224 and address[0] != 127 and not self.is_broadcast(address)
        return address[0] != 0xFF and not address.startswith(_NO_HOST)

    def on_link(self, address: bytes) -> bool:
        """Whether an address can be reached without a router."""
        number = int.from_bytes(address, "big")
        return any(number & mask == network for network, mask in self._networks.values()) or (
            self.prefixes is not None and self.prefixes.covers(address)
        )

    def source_for(self, target: bytes) -> bytes | None:
        """The usable address to send to `target` from; None where there is none.

        RFC 6724 section 5, the rules that can differ here: 2 (a scope that reaches, no wider than it must), 5.5 (off
        the link, a prefix that the gateway is in), 6 (the same label), 8 (the longest common prefix). IPv4 has one
        scope and one label, so RFC 1122 section 3.3.4.3 follows: on the link, the address of the target's prefix.
        """
        if target not in self._sources:
            if len(self._sources) >= SOURCES:
                self._sources.clear()
            self._sources[target] = min(self.usable, key=lambda own: self._fitness(own, target), default=None)
        return self._sources[target]

    def _fitness(self, own: bytes, target: bytes) -> tuple[int, int, bool, bool, int]:
        """How far `own` is from the best source for `target`; the least is it."""
        wanted, scope = _scope(target), _scope(own)
        network, mask = self._networks[own]
        beyond = self._gateway is not None and not self.on_link(target)
        common = 8 * len(own) - (int.from_bytes(own, "big") ^ int.from_bytes(target, "big")).bit_length()
        prefix = mask.bit_count()
        if len(own) == 4 and common < prefix:
            common = 0
        return (
            scope < wanted,
            scope if scope >= wanted else -scope,
            beyond and int.from_bytes(self._gateway or b"", "big") & mask != network,
            _label(own) != _label(target),
            -min(common, prefix),
        )


def _scope(address: bytes) -> int:
    """RFC 4007's scope as multicast addresses write it: 2 is the link's, 14 global (all of IPv4)."""
    if len(address) == 4:
        return 14
    if address[0] == 0xFF:
        return address[1] & 0x0F
    return 2 if is_link_local(address) else 14


def _label(address: bytes) -> int:
    """RFC 6724 section 2.1's label of an address of 16 octets (0 of one of 4): like goes with like."""
    return next(label for prefix, label in _LABELS if address.startswith(prefix)) if len(address) == 16 else 0


def _nothing() -> None:
    pass
