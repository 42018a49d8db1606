"""Where each frame ended inside the stack, and what else the stack counts. Not a metrics library: plain integers.

An outcome is the one place where a frame ends, so the counts of all outcomes sum to the frames taken. The set is
closed: no name comes off the wire. What is not the end of one frame (a reply that found no room, a datagram that
timed out in pieces) is in `Totals`.
"""

from enum import IntEnum, auto


class Outcome(IntEnum):
    """PROTOCOL_WHAT_BECAME_OF_IT, in the order in which a frame climbs."""

    ETHERNET_TRUNCATED = 0
    """Shorter than its Ethernet header or 802.1Q tag."""
    ETHERNET_NOT_OURS = auto()
    """Unicast to another MAC address."""
    ETHERNET_BAD_SOURCE = auto()
    """From a group's MAC address, or from none: no station's."""
    ETHERNET_LOOPED = auto()
    """From our own MAC address: what we sent, come back."""
    ETHERNET_UNKNOWN_TYPE = auto()
    ARP_MALFORMED = auto()
    ARP_REQUEST = auto()
    """For one of our addresses: answered."""
    ARP_REPLY = auto()
    ARP_IGNORED = auto()
    """Between others."""
    ARP_CONFLICT = auto()
    """Somebody else claims an address of ours."""
    IPV4_BAD_HEADER = auto()
    IPV4_BAD_CHECKSUM = auto()
    IPV4_BAD_SOURCE = auto()
    """No single other host's address."""
    IPV4_NOT_OURS = auto()
    """To another address, or to ours alone in a frame to a group."""
    IPV4_BAD_OPTION = auto()
    """Options that do not end where the header does."""
    IPV4_SOURCE_ROUTED = auto()
    """Loose or strict source routes are not followed, nor answered along."""
    IPV4_FRAGMENT_HELD = auto()
    """Waits for the rest. The fragment that completes a datagram ends as that datagram does."""
    IPV4_FRAGMENT_DROPPED = auto()
    """Overlapping, contradictory, repeated, or beyond 65,535 octets with its header."""
    IPV4_UNKNOWN_PROTOCOL = auto()
    IPV6_BAD_HEADER = auto()
    IPV6_BAD_SOURCE = auto()
    IPV6_NOT_OURS = auto()
    IPV6_BAD_EXTENSION = auto()
    IPV6_FRAGMENT_HELD = auto()
    IPV6_FRAGMENT_DROPPED = auto()
    IPV6_NO_NEXT_HEADER = auto()
    IPV6_UNKNOWN_PROTOCOL = auto()
    ICMP_BAD_LENGTH = auto()
    ICMP_BAD_CHECKSUM = auto()
    ICMP_ECHO_REQUEST = auto()
    ICMP_ECHO_IGNORED = auto()
    """To a broadcast or multicast address."""
    ICMP_ECHO_REPLY = auto()
    ICMP_ERROR_DELIVERED = auto()
    """Told to the endpoint whose datagram it is about."""
    ICMP_ERROR_IGNORED = auto()
    ICMP_UNKNOWN_TYPE = auto()
    ICMPV6_BAD_LENGTH = auto()
    ICMPV6_BAD_CHECKSUM = auto()
    ICMPV6_ECHO_REQUEST = auto()
    ICMPV6_ECHO_REPLY = auto()
    ICMPV6_ERROR_DELIVERED = auto()
    ICMPV6_ERROR_IGNORED = auto()
    ICMPV6_PACKET_TOO_BIG = auto()
    ICMPV6_NEIGHBOUR_SOLICITATION = auto()
    ICMPV6_NEIGHBOUR_ADVERTISEMENT = auto()
    ICMPV6_BAD_DISCOVERY = auto()
    """Neighbour discovery that fails the checks of RFC 4861 section 7.1."""
    ICMPV6_ROUTER_DISCOVERY = auto()
    """Solicitations, advertisements and redirects of routers: not used."""
    ICMPV6_MULTICAST_LISTENER = auto()
    ICMPV6_UNKNOWN_TYPE = auto()
    TCP_BAD_HEADER = auto()
    TCP_BAD_CHECKSUM = auto()
    TCP_NOT_UNICAST = auto()
    """To or from several hosts: without a word (RFC 9293 section 3.9.2.3)."""
    TCP_NO_LISTENER = auto()
    """Answered by a reset, unless it is one."""
    TCP_NO_CONNECTION = auto()
    """Somebody listens there, but there is no such connection, nor is this the beginning of one."""
    TCP_HANDSHAKE = auto()
    """A SYN to a listener: answered."""
    TCP_REFUSED = auto()
    """One connection more would be too many."""
    TCP_DELIVERED = auto()
    """To its connection. What became of it there is in the counters of TCP."""
    UDP_BAD_LENGTH = auto()
    UDP_BAD_CHECKSUM = auto()
    UDP_NO_LISTENER = auto()
    UDP_DELIVERED = auto()
    UDP_HANDLER_ERROR = auto()
    """Handed over, and the protocol's `datagram_received` raised."""

    @property
    def label(self) -> tuple[str, str]:
        """(protocol, outcome) in lower case, such as ("udp", "no_listener")."""
        protocol, _, outcome = self.name.lower().partition("_")
        return protocol, outcome


LABELS = tuple(outcome.label for outcome in Outcome)
ENDS = tuple(" ".join(label) for label in LABELS)
"""The same in one word each, as `Burst.ends` takes them."""


class Totals:
    """Events that are not the end of a received frame. All are counts since the stack was made."""

    __slots__ = (
        "addresses_announced",
        "addresses_lost",
        "datagrams_dropped",
        "duplicate_addresses",
        "errors_limited",
        "hosts_evicted",
        "hosts_of_others",
        "hosts_probed",
        "neighbours_evicted",
        "no_route",
        "reassembly_timeouts",
        "transmit_full",
        "unresolved",
    )

    def __init__(self) -> None:
        self.transmit_full = 0
        """Frames for which the transmit ring had no room."""
        self.no_route = 0
        """Packets for which no next hop or no source address is known."""
        self.unresolved = 0
        """Packets dropped while, or because, their neighbour did not answer."""
        self.neighbours_evicted = 0
        """Neighbours that made room for others in the full cache."""
        self.errors_limited = 0
        """ICMP errors that the rate limit kept back."""
        self.reassembly_timeouts = 0
        """Datagrams of which fragments were missing too long, or that made room for newer ones."""
        self.duplicate_addresses = 0
        """Times that another host was heard to use an address of ours."""
        self.addresses_lost = 0
        """Addresses of ours that were not used, or no longer, for that."""
        self.addresses_announced = 0
        """Times that the link was told of an address of ours without having asked."""
        self.hosts_probed = 0
        """Questions whether another host has an address of a prefix that is ours as a whole."""
        self.hosts_of_others = 0
        """Times that an address of such a prefix was found to be another host's."""
        self.hosts_evicted = 0
        """Addresses of such a prefix that made room for others in a full table, their protocols with them."""
        self.datagrams_dropped = 0
        """Datagrams that an endpoint's full write buffer did not take."""

    def as_dict(self) -> dict[str, int]:
        """Name -> count, made anew at each call."""
        return {name: getattr(self, name) for name in self.__slots__}


PASSED_ON = frozenset(
    (
        *(Outcome.ARP_REPLY, Outcome.ARP_IGNORED, Outcome.ICMPV6_NEIGHBOUR_ADVERTISEMENT),
        *(Outcome.ICMP_ERROR_DELIVERED, Outcome.ICMP_ERROR_IGNORED),
        *(Outcome.ICMPV6_ERROR_DELIVERED, Outcome.ICMPV6_ERROR_IGNORED, Outcome.ICMPV6_PACKET_TOO_BIG),
    )
)
"""What other hosts with these addresses and this MAC address (workers of one service) must hear too: one of them may
wait for it. No such frame is answered."""
