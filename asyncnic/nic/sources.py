"""Who sends: a limit for each source (--source-limit), and which sources are the heaviest.

Frames of a source beyond its limit are taken out of a burst before anybody works on it, and counted as dropped by the
driver ("source_limit"). The heaviest sources are an estimate: one frame of sixteen or more is looked at, and stands for
all of them.
Both tables are bounded. A frame that is no IP has no source here and no limit. Time is an argument, in seconds.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

LIMITED = 4096
"""Sources whose rate is kept; who was not heard of for longest makes room, and begins anew."""
HEAVIEST = 64
"""Sources that are shown; twice as many are counted, and what falls out is the error of who comes in."""
HALF_LIFE = 10.0
"""Seconds after which a frame counts half."""
EVERY = 16
"""Frames of which one is looked at, at the most often: looking costs as much as some frames' whole way."""
AT_ONCE = 0.1
"""A source may have so many seconds' worth at once, ten frames at least."""
_FORM = re.compile(r"([1-9][0-9]{0,8})/s(?:,/([0-9]{1,2}))?(?:,/([0-9]{1,3}))?")
_IPV4, _IPV6, _TAGS = 0x0800, 0x86DD, (0x8100, 0x88A8)


@dataclass(frozen=True, slots=True)
class SourceLimit:
    """So many frames a second from one source: the addresses of one prefix.

    Attributes:
        rate: frames a second; 0: no limit.
        v4, v6: prefix lengths of what is one source.
    """

    rate: int = 0
    v4: int = 32
    v6: int = 64


def parse_source_limit(text: str) -> SourceLimit:
    """From "10000/s", "10000/s,/24" or "10000/s,/24,/56"; "" is no limit.

    Raises:
        ValueError: the end of a sentence that begins with what was typed.
    """
    if not text:
        return SourceLimit()
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("must be frames a second, with prefix lengths or without, like 10000/s or 10000/s,/24,/56")
    limit = SourceLimit(int(match[1]), int(match[2] or 32), int(match[3] or 64))
    if not 1 <= limit.v4 <= 32 or not 1 <= limit.v6 <= 128:
        raise ValueError("must have prefix lengths from /1 to /32 for IPv4, and to /128 for IPv6")
    return limit


@dataclass(slots=True)
class _Allowance:
    tokens: float
    then: float
    dropped: int = 0


def source_address(frame: bytes | memoryview, start: int, length: int) -> bytes:
    """The IP address that the frame at `start` comes from, 4 or 16 octets, behind whatever tags; empty: it is no IP, or
    is cut off before its header ends. Any octets will do.
    """
    at, end = start + 14, start + length
    while at <= end:
        kind = frame[at - 2] << 8 | frame[at - 1]
        if kind == _IPV4:
            return bytes(frame[at + 12 : at + 16]) if at + 20 <= end else b""
        if kind == _IPV6:
            return bytes(frame[at + 8 : at + 24]) if at + 40 <= end else b""
        if kind not in _TAGS:
            break
        at += 4
    return b""


class Sources:
    """The sources of one nic's frames.

    Args:
        limit: of each.
    """

    __slots__ = (
        "_allowances",
        "_burst",
        "_counts",
        "_floor",
        "_halved",
        "_masks",
        "_next",
        "_total",
        "_unseen",
        "limit",
    )

    def __init__(self, limit: SourceLimit | None = None) -> None:
        self.limit = limit = limit or SourceLimit()
        self._burst = max(10.0, AT_ONCE * limit.rate)
        # Octets of a source; where the prefix ends inside one, the bits of that.
        self._masks = {4: _mask(limit.v4), 16: _mask(limit.v6)}
        self._allowances: dict[bytes, _Allowance] = {}
        self._counts: dict[bytes, float] = {}
        self._floor = 0.0
        self._total = 0.0
        self._halved = 0.0
        self._next = 0
        self._unseen = 0

    def look(self, memory: memoryview, offsets: list[int], lengths: list[int], now: float) -> None:
        """Count a burst, which is not empty, and those before it, by one of its frames."""
        self._unseen += len(offsets)
        if self._unseen < EVERY:
            return
        count, self._unseen = self._unseen, 0
        self._next += 1
        at = self._next * 40503 % len(offsets)  # another place each time
        source = self._source(memory, offsets[at], lengths[at])
        if not source:
            return
        if now - self._halved > HALF_LIFE:
            self._age(now)
        counts = self._counts
        counts[source] = counts.get(source, self._floor) + count
        self._total += count
        if len(counts) > 2 * HEAVIEST:
            self._keep_the_heaviest()

    def admitted(self, memory: memoryview, offsets: list[int], lengths: list[int], now: float) -> list[int] | None:
        """Which frames of a burst are within their sources' limit, by number; None: all."""
        rate, burst, allowances = self.limit.rate, self._burst, self._allowances
        if not rate:
            return None
        kept: list[int] = []
        for number, start in enumerate(offsets):
            source = self._source(memory, start, lengths[number])
            if source:
                allowance = allowances.pop(source, None)
                if allowance is None:
                    if len(allowances) >= LIMITED:
                        del allowances[next(iter(allowances))]
                    allowance = _Allowance(burst, now)
                allowances[source] = allowance
                tokens = min(burst, allowance.tokens + (now - allowance.then) * rate)
                allowance.then = now
                if tokens < 1.0:
                    allowance.tokens = tokens
                    allowance.dropped += 1
                    continue
                allowance.tokens = tokens - 1.0
            kept.append(number)
        return kept if len(kept) < len(offsets) else None

    def take_back(
        self, memory: memoryview, offsets: list[int], lengths: list[int], kept: list[int], first: int
    ) -> None:
        """Of a burst of which `kept` were admitted, the frames from number `first` on come again: they count then."""
        passed = set(kept)
        for number in range(first, len(offsets)):
            allowance = self._allowances.get(self._source(memory, offsets[number], lengths[number]))
            if allowance is not None:
                if number in passed:
                    allowance.tokens += 1.0
                else:
                    allowance.dropped -= 1

    def heaviest(self, now: float) -> list[dict[str, object]]:
        """The heaviest sources, first the heaviest: its prefix, its share of the frames of the last seconds, and how
        many of its frames the limit has dropped, as far as it is remembered.
        """
        self._age(now)
        total = self._total or 1.0
        rows: list[dict[str, object]] = []
        for source, count in sorted(self._counts.items(), key=lambda item: -item[1])[:HEAVIEST]:
            allowance = self._allowances.get(source)
            share = round(min(1.0, count / total), 4)
            rows.append(
                {"source": self._shown(source), "share": share, "dropped": allowance.dropped if allowance else 0}
            )
        return rows

    def _keep_the_heaviest(self) -> None:
        ordered = sorted(self._counts.items(), key=lambda item: -item[1])
        self._floor = ordered[HEAVIEST][1]
        self._counts = dict(ordered[:HEAVIEST])

    def _age(self, now: float) -> None:
        """Let what is long ago count less."""
        factor = 0.5 ** ((now - self._halved) / HALF_LIFE)
        self._halved = now
        self._total *= factor
        self._floor *= factor
        self._counts = {source: count * factor for source, count in self._counts.items() if count * factor >= 0.5}

    def _source(self, memory: memoryview, start: int, length: int) -> bytes:
        """The prefix that a frame comes from, 4 or 16 octets; empty: it is no IP."""
        address = source_address(memory, start, length)
        if not address:
            return address
        whole, bits = self._masks[len(address)]
        if whole == len(address):
            return address
        return (address[:whole] + bytes((address[whole] & bits,))).ljust(len(address), b"\0")

    def _shown(self, source: bytes) -> str:
        length = self.limit.v4 if len(source) == 4 else self.limit.v6
        if length == 8 * len(source):
            return str(ip_address(source))
        return str(ip_network((source, length)))


def _mask(length: int) -> tuple[int, int]:
    whole, bits = divmod(length, 8)
    return whole, 0xFF00 >> bits & 0xFF
