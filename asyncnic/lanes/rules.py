"""The grammar of `--lane NAME=RULE` and `--shed RULE`, and what a rule says as values.

A rule is a comma list of terms and holds for a frame when one of them does. What a term means on octets is written
twice, elsewhere: for Python in `reading`, for the kernel in `program`.

    arp  nd  icmp  icmp6  tcp  udp        protocol; nd is ICMPv6 133-137 (RFC 4861), which icmp6 has too
    udp:53  tcp:179                       source or destination port, as tcpdump's `port`: a conversation's both ends
    src:198.51.100.0/24  dst:2001:db8::1  address or prefix, IPv4 or IPv6 (not the addresses inside ARP)
    vlan:7                                802.1Q VLAN identifier, 0-4095, of the outermost tag
    ether:0x88cc                          EtherType, behind the 802.1Q tag if there is one
    *                                     everything: the last lane's rule, as is leaving it empty
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_VLAN, ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x8100, 0x86DD
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58  # IANA protocol numbers
ND_FIRST, ND_LAST = 133, 137  # router solicitation ... redirect (RFC 4861, section 4)

ALLOWED = "arp, nd, icmp, icmp6, tcp, udp, tcp:PORT, udp:PORT, src:PREFIX, dst:PREFIX, vlan:ID or ether:0xTYPE"
BULK = "bulk"
DEFAULT_LANES = ("control=arp,nd,icmp,icmp6",)
MAX_LANES = 16
MAX_SHED_RULES = 64
MAX_TERMS = 256
"""Terms of all lanes together, and of all shed rules together: keeps the program well inside the kernel's limits."""


@dataclass(frozen=True, slots=True)
class EtherTerm:
    """EtherType is `number`."""

    number: int


@dataclass(frozen=True, slots=True)
class VlanTerm:
    """Tagged with VLAN identifier `number`."""

    number: int


@dataclass(frozen=True, slots=True)
class ProtocolTerm:
    """IP protocol is `number`, over the IP `versions` named; with `port`, that is its source or destination port."""

    number: int
    versions: tuple[int, ...]
    port: int | None = None


@dataclass(frozen=True, slots=True)
class DiscoveryTerm:
    """IPv6 neighbour discovery: ICMPv6 types 133-137."""


@dataclass(frozen=True, slots=True)
class PrefixTerm:
    """IP source (or else destination) address is inside `network`."""

    source: bool
    network: IPv4Network | IPv6Network


Term = EtherTerm | VlanTerm | ProtocolTerm | DiscoveryTerm | PrefixTerm

_WORDS: dict[str, Term] = {
    "arp": EtherTerm(ETHERTYPE_ARP),
    "nd": DiscoveryTerm(),
    "icmp": ProtocolTerm(ICMP, (4,)),
    "icmp6": ProtocolTerm(ICMP6, (6,)),
    "tcp": ProtocolTerm(TCP, (4, 6)),
    "udp": ProtocolTerm(UDP, (4, 6)),
}
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Rule:
    """Terms of which one must hold; no terms: everything.

    `text` is the rule in its canonical spelling. It is the rule's identity: equal texts share a counter.
    """

    text: str
    terms: tuple[Term, ...]


EVERYTHING = Rule("*", ())


@dataclass(frozen=True, slots=True)
class LaneRule:
    """A lane's name and the frames that it takes of those that lanes before it left."""

    name: str
    rule: Rule


def parse_rule(text: str) -> Rule:
    """Read one rule (without NAME=).

    Raises:
        ValueError: one line that names the token and what is allowed instead.
    """
    if text.strip() == "*":
        return EVERYTHING
    spelled = [_term(token.strip().lower()) for token in text.split(",")]
    unique = dict(spelled)
    return Rule(",".join(unique), tuple(unique.values()))


def parse_lanes(texts: Sequence[str]) -> tuple[LaneRule, ...]:
    """Read the values of `--lane`, highest first. The last lane returned takes what no rule before it takes: the last
    one given, when its rule is empty or ``*``, or else one more, called ``bulk``.

    Raises:
        ValueError: one line that names the token and the fix.
    """
    lanes: list[LaneRule] = []
    for position, text in enumerate(texts):
        name, equals, rule_text = text.partition("=")
        name, last = name.strip(), position == len(texts) - 1
        if not _NAME.fullmatch(name):
            raise ValueError(f"lane {text!r}: {name!r} is not a name; NAME=RULE, NAME of a-z, 0-9, - and _, at most 32")
        if not equals and not (last and name == BULK):
            raise ValueError(f"lane {text!r}: no rule; {name}=RULE, where RULE is a comma list of {ALLOWED}")
        everything = rule_text.strip() in ("", "*")
        if everything and not last:
            raise ValueError(f"lane {text!r}: takes everything, so lanes after it get nothing; put it last")
        try:
            lanes.append(LaneRule(name, EVERYTHING if everything else parse_rule(rule_text)))
        except ValueError as error:
            raise ValueError(f"lane {name}: {error}") from None
    if not lanes or lanes[-1].rule.terms:
        lanes.append(LaneRule(BULK, EVERYTHING))
    names = [lane.name for lane in lanes]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"lane {name!r} is there twice (the lane that takes the rest is {BULK!r}); use another name"
            )
    if len(lanes) > MAX_LANES:
        raise ValueError(f"lane: {len(lanes)} lanes with {names[-1]!r}; at most {MAX_LANES}")
    _check_terms("lane", [lane.rule for lane in lanes])
    return tuple(lanes)


def parse_shed(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Read the values of `--shed`; equal rules count once, the first that holds is the one that counts a frame.

    Raises:
        ValueError: one line that names the token and the fix.
    """
    rules: dict[str, Rule] = {}
    for text in texts:
        if text.strip() in ("", "*"):
            raise ValueError(f"shed {text!r}: would shed everything; name what is not wanted: {ALLOWED}")
        try:
            rule = parse_rule(text)
        except ValueError as error:
            raise ValueError(f"shed: {error}") from None
        rules.setdefault(rule.text, rule)
    if len(rules) > MAX_SHED_RULES:
        raise ValueError(f"shed: {len(rules)} rules; at most {MAX_SHED_RULES}")
    _check_terms("shed", list(rules.values()))
    return tuple(rules.values())


def _check_terms(flag: str, rules: Sequence[Rule]) -> None:
    terms = sum(len(rule.terms) for rule in rules)
    if terms > MAX_TERMS:
        raise ValueError(f"{flag}: {terms} terms in all rules together; at most {MAX_TERMS}")


def _term(token: str) -> tuple[str, Term]:
    """Canonical spelling and meaning of one token."""
    if token in _WORDS:
        return token, _WORDS[token]
    kind, colon, value = token.partition(":")
    match kind:
        case "tcp" | "udp" if colon:
            port = _number(token, value, 1, 65535, "a port")
            number = TCP if kind == "tcp" else UDP
            return f"{kind}:{port}", ProtocolTerm(number, (4, 6), port)
        case "vlan" if colon:
            identifier = _number(token, value, 0, 4095, "a VLAN identifier")
            return f"vlan:{identifier}", VlanTerm(identifier)
        case "ether" if colon:
            ethertype = _number(token, value, 0x600, 0xFFFF, "an EtherType")
            return f"ether:0x{ethertype:04x}", EtherTerm(ethertype)
        case "src" | "dst" if colon:
            network = _network(token, value)
            return f"{kind}:{network}", PrefixTerm(kind == "src", network)
        case _:
            raise ValueError(f"{token!r} is not a rule; use {ALLOWED}")


def _number(token: str, value: str, low: int, high: int, what: str) -> int:
    """Decimal, or hexadecimal with 0x, in plain ASCII digits."""
    hexadecimal = re.fullmatch(r"0x[0-9a-f]{1,8}", value)
    if hexadecimal or re.fullmatch(r"[0-9]{1,8}", value):
        number = int(value, 16 if hexadecimal else 10)
        if low <= number <= high:
            return number
    span = f"0x{low:04x}-0x{high:04x}" if what == "an EtherType" else f"{low}-{high}"
    raise ValueError(f"{token!r}: {value!r} is not {what}; use {span}")


def _network(token: str, value: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise ValueError(
            f"{token!r}: {value!r} is not an address or prefix; use for example src:198.51.100.0/24"
        ) from None
    address = value.partition("/")[0]
    if "%" in address:
        raise ValueError(
            f"{token!r}: a zone is not part of an address in a frame; leave out {value[value.index('%') :]!r}"
        )
    if network.network_address != ip_network(address).network_address:
        raise ValueError(f"{token!r}: bits are set beyond the prefix; use {network}")
    return network
