"""The values that settings are made of: each function takes what was typed and returns the value, or says what it
must be.

Every error is a ValueError whose text completes the sentence "--flag value: ...". Nothing here knows which setting it
checks, or looks at the machine: whether a device or a port exists is for those who open it (and for `asyncnic check`).
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any, TypeVar

Interface = IPv4Interface | IPv6Interface
_INTERFACES = (IPv4Interface, IPv6Interface)

_UNITS = {"s": 0, "ms": 3, "us": 6}
"""Places of the decimal point between a unit and the second."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s)")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_DOTTED = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_SERVICE = re.compile(rf"(?:[a-z][a-z0-9-]*|(?:tcp:)?{_DOTTED}:{_DOTTED}):([0-9]{{1,5}})", re.ASCII)
_USER_INFO = re.compile(r"://.*@", re.DOTALL)
_LISTEN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]*):([0-9]{1,5})")

TAKES: dict[Callable[..., Any], Mapping[str, object]] = {}
"""What a checker takes as it is best written in a file, in words of JSON Schema; those that are not here take text.
They take more than that ("256" for 256), and may refuse what no schema can tell."""
_Checker = TypeVar("_Checker", bound=Callable[..., Any])
_T = TypeVar("_T")


def _takes(check: _Checker, **schema: object) -> _Checker:
    TAKES[check] = schema
    return check


def duration(value: object) -> float:
    """Seconds from "2ms", "50us", "1.5s" or "0"; numbers without a unit are refused."""
    text = str(value).strip()
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("must be a time with its unit, like 50us, 2ms or 1s")
    return float(Decimal(match[1]).scaleb(-_UNITS[match[2]]))


def show_duration(seconds: float) -> str:
    """The shortest way to write `seconds` that `duration` reads as the very same: 0.002 is "2ms", 1.5e-6 is "1.5us"."""
    if not seconds:
        return "0us"
    exact = Decimal(repr(seconds))
    written = [f"{exact.scaleb(places).normalize():f}{unit}" for unit, places in _UNITS.items()]
    return min(written, key=lambda text: ("." in text and not text.endswith("us"), len(text)))


def show_duration_or_word(value: float | str) -> str:
    """The same for a time in whose place a word may stand."""
    return value if isinstance(value, str) else show_duration(value)


def duration_within(low: float, high: float) -> Callable[[object], float]:
    """A checker for times from `low` to `high` seconds."""

    def check(value: object) -> float:
        seconds = duration(value)
        if not low <= seconds <= high:
            raise ValueError(f"must be a time from {show_duration(low)} to {show_duration(high)}")
        return seconds

    return _takes(check, type="string", pattern=f"^(0|{_DURATION.pattern})$")


def whole_within(low: int, high: int) -> Callable[[object], int]:
    """A checker for whole numbers from `low` to `high`."""

    def check(value: object) -> int:
        number = _whole(value)
        if number is None or not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return number

    return _takes(check, type="integer", minimum=low, maximum=high)


def or_word(word: str, checked: Callable[[object], _T]) -> Callable[[object], _T | str]:
    """A checker for what `checked` takes, or `word`."""

    def check(value: object) -> _T | str:
        if value == word:
            return word
        try:
            return checked(value)
        except ValueError as error:
            raise ValueError(f"{error}, or {word}") from None

    return _takes(check, anyOf=[TAKES[checked], {"const": word}])


def power_of_two_within(low: int, high: int) -> Callable[[object], int]:
    """A checker for powers of two from `low` to `high`."""

    def check(value: object) -> int:
        number = _whole(value)
        if number is None or not low <= number <= high or number & (number - 1):
            raise ValueError(f"must be a power of two from {low} to {high}")
        return number

    return _takes(check, enum=[1 << bit for bit in range(high.bit_length()) if low <= 1 << bit <= high])


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
        return int(value)
    return None


def interface_name(value: object) -> str:
    """A name that Linux accepts for a network interface: 1 to 15 characters, no slash, colon, percent sign or space."""
    text = str(value)
    if not re.fullmatch(r"[!-~]{1,15}", text) or set(text) & set("/:%") or text in (".", ".."):
        raise ValueError("must be an interface name of 1 to 15 characters without / : % or spaces")
    return text


def mac(value: object) -> str:
    """A unicast MAC address in lower case, or "" to let the device choose."""
    text = str(value).lower().replace("-", ":")
    if text and not _MAC.fullmatch(text):
        raise ValueError("must be six octets, like 02:00:5e:10:00:01")
    if text == "00:00:00:00:00:00":
        raise ValueError("must be the address of a station, not all zeros")
    if text and int(text[:2], 16) & 1:
        raise ValueError("must be a unicast address: the lowest bit of its first octet is set")
    return text


def interface(value: object) -> Interface:
    """An address with its prefix length, of a kind that a host can have."""
    if isinstance(value, IPv4Interface | IPv6Interface):
        return value
    text = str(value).strip()
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError("must be an address with its prefix length, like 192.0.2.2/24 or 2001:db8::2/64") from None
    if "/" not in text:
        raise ValueError(f"must have a prefix length, like {text}/{24 if found.version == 4 else 64}")
    network = found.network
    if found.ip.is_multicast or found.ip.is_unspecified or found.ip.is_loopback:
        raise ValueError("must be the address of a host: not multicast, loopback or unspecified")
    if found.version == 4 and network.prefixlen < 31 and found.ip in (network[0], network[-1]):
        raise ValueError(f"must be the address of a host: it is the network's or the broadcast's of {network}")
    return found


def interface_or_prefix(value: object) -> Interface:
    """As `interface`, or a whole prefix, like 198.51.100.0/24."""
    try:
        found = ipaddress.ip_interface(str(value).strip() if not isinstance(value, _INTERFACES) else value)
    except ValueError:
        return interface(value)
    whole = is_prefix(found) and not (found.ip.is_multicast or found.ip.is_unspecified or found.ip.is_loopback)
    return found if whole and "/" in str(value) else interface(value)


def is_prefix(given: Interface) -> bool:
    """Whether what was given with its prefix length is the first address of more than one."""
    return given.ip == given.network.network_address and given.network.prefixlen < given.max_prefixlen


def interface_or_none(value: object) -> Interface | None:
    """As `interface`; None for nothing ("")."""
    return None if value is None or value == "" else interface(value)


def service(value: object) -> str:
    """ "NAME:PORT" with a port from 1 to 65535."""
    match = _SERVICE.fullmatch(str(value))
    if match is None or not 1 <= int(match[1]) <= 65535:
        raise ValueError("must be NAME:PORT, like udp-echo:7")
    return str(value)


def lane_number(low: int, high: int) -> Callable[[object], str]:
    """A checker for "NAME=NUMBER" with a number from `low` to `high`; which lanes there are is for others to know."""

    def check(value: object) -> str:
        name, _, number = str(value).partition("=")
        whole = _whole(number)
        if not name.strip() or whole is None or not low <= whole <= high:
            raise ValueError(f"must be NAME=NUMBER, the name of a lane and a whole number from {low} to {high}")
        return f"{name.strip()}={whole}"

    return _takes(check, type="string", pattern="^[^=]+=[0-9]+$")


def rules(parse: Callable[[Sequence[str]], object]) -> Callable[[object], object]:
    """A checker for rules of lanes or of what is shed, which are read together by `parse`."""

    def check(value: object) -> object:
        if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
            parse(value)
        return value

    return _takes(check, type="array", items={"type": "string"})


def listen(value: object) -> str:
    """ "HOST:PORT", "[IPv6]:PORT" or ":PORT" (every address); port 0 lets the kernel choose."""
    match = _LISTEN.fullmatch(str(value))
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be HOST:PORT, like 127.0.0.1:9732 or [::1]:9732")
    host = match[1]
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif len(host.encode("idna")) > 253:
            raise ValueError
    except ValueError:  # UnicodeError too: what no resolver would be asked
        raise ValueError(f"must be HOST:PORT: {host or 'nothing'} can be no host's name or address") from None
    return str(value)


def split_listen(text: str) -> tuple[str | None, int]:
    """Host (None: every address) and port of a value that `listen` has accepted."""
    host, _, port = text.rpartition(":")
    return host.strip("[]") or None, int(port)


def switch(value: object) -> bool:
    """true or false, as TOML, flags and variables write them."""
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    text = str(value).strip().lower()
    if text not in known:
        raise ValueError("must be true or false")
    return known[text]


_takes(service, type="string", pattern=f"^{_SERVICE.pattern}$")
_takes(listen, type="string", pattern=f"^{_LISTEN.pattern}$")
_takes(switch, type="boolean")


def text(value: object) -> str:
    """Any text without control characters."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    if not value.isprintable():
        raise ValueError("must be text without control characters")
    return value


def redacted(text: str) -> str:
    """A URL, or a text with one in it, with three stars for user and password, whatever is in them."""
    return _USER_INFO.sub("://***@", text)


def shown(value: object) -> str:
    """`value` in one short printable line, for messages; passwords in URLs are not in it."""
    if isinstance(value, list | tuple):
        text = ",".join(redacted(str(item)) for item in value)
    else:
        text = "" if value is None else redacted(str(value))
    text = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return (text if len(text) <= 80 else text[:77] + "...") or '""'


def route(value: object) -> str:
    """An address or a prefix, as a prefix: "198.51.100.1" is "198.51.100.1/32"."""
    try:
        return str(ipaddress.ip_network(str(value)))
    except ValueError:
        raise ValueError("must be an address or a prefix, like 198.51.100.1 or 198.51.100.0/24") from None
