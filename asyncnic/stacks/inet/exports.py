"""Headers of flow exports, as far as they number what they carry: NetFlow v5 and v9, IPFIX, sFlow v5.

NetFlow v9 and sFlow number datagrams (RFC 3954 section 5.1; sFlow v5's datagram sequence number); NetFlow v5 numbers
flows and IPFIX data records (RFC 7011 section 3.1), which are counted by the templates that came before them. Here is
what one datagram says; what was missed between two is in sequences.py. No flow is decoded.
"""

import struct
from array import array
from collections.abc import Hashable, Sequence
from typing import NamedTuple

PROTOCOLS = ("netflow5", "netflow9", "ipfix", "sflow")
TEMPLATES = 8192
"""Templates that are known at most; then the one that was not heard of for longest goes."""

_NETFLOW5_HEADER, _NETFLOW5_RECORD, _NETFLOW9_HEADER, _IPFIX_HEADER = 24, 48, 20, 16
_TEMPLATE_SET, _OPTIONS_SET, _FIRST_DATA_SET = 2, 3, 256
_VARIABLE = 0xFFFF
_SFLOW_AGENTS = {1: 4, 2: 16}  # address type -> octets
_TWO, _FOUR = struct.Struct("!HH"), struct.Struct("!I")


class Numbered(NamedTuple):
    """What a datagram says of its place.

    Attributes:
        protocol: one of `PROTOCOLS`.
        domain: which of the exporter's sequences it is of.
        number: of its first datagram, flow or record, modulo 2^32.
    """

    protocol: str
    domain: bytes
    number: int


def numbered(data: bytes) -> Numbered | None:
    """What a datagram says of its place; None: it is no export, or cut short."""
    if len(data) < _IPFIX_HEADER:
        return None
    version, length = _TWO.unpack_from(data)
    if version == 9 and len(data) >= _NETFLOW9_HEADER:
        return Numbered("netflow9", data[16:20], _FOUR.unpack_from(data, 12)[0])
    if version == 10 and length == len(data):
        return Numbered("ipfix", data[12:16], _FOUR.unpack_from(data, 8)[0])
    if version == 5 and length and len(data) == _NETFLOW5_HEADER + length * _NETFLOW5_RECORD:
        return Numbered("netflow5", data[20:22], _FOUR.unpack_from(data, 16)[0])
    if (version, length) == (0, 5):
        octets = _SFLOW_AGENTS.get(_FOUR.unpack_from(data, 4)[0], 0)
        if octets and len(data) >= octets + 24:
            return Numbered("sflow", data[8 : octets + 12], _FOUR.unpack_from(data, octets + 12)[0])
    return None


class Templates:
    """The templates of all IPFIX sessions: what their data sets' records are made of."""

    __slots__ = ("_fields",)

    def __init__(self) -> None:
        self._fields: dict[tuple[Hashable, int], array[int]] = {}

    def records(self, session: Hashable, data: bytes) -> int | None:
        """Data records of an IPFIX message; learns its templates. None: some have a template that is not known."""
        count, at, known = 0, _IPFIX_HEADER, True
        while at + 4 <= len(data):
            kind, length = _TWO.unpack_from(data, at)
            if not 4 <= length <= len(data) - at:
                return None
            body = data[at + 4 : at + length]
            if kind in (_TEMPLATE_SET, _OPTIONS_SET):
                self._learn(session, body, 4 if kind == _TEMPLATE_SET else 6)
            elif kind >= _FIRST_DATA_SET:
                found = _records(body, self._fields.get((session, kind), ()))
                known = known and found is not None
                count += found or 0
            at += length
        return count if known else None

    def _learn(self, session: Hashable, body: bytes, header: int) -> None:
        at = 0
        while at + header <= len(body):
            number, count = _TWO.unpack_from(body, at)
            if number < _FIRST_DATA_SET:
                return  # padding
            at += header
            lengths = array("H")
            for _ in range(count):
                if at + 4 > len(body):
                    return
                element, length = _TWO.unpack_from(body, at)
                lengths.append(length)
                at += 8 if element & 0x8000 else 4  # an enterprise's number follows
            self._fields.pop((session, number), None)
            if len(self._fields) >= TEMPLATES:
                del self._fields[next(iter(self._fields))]
            self._fields[session, number] = lengths


def _records(body: bytes, lengths: Sequence[int]) -> int | None:
    """Records of a data set: what is left behind the last whole one is padding. None: nobody knows."""
    least = sum(1 if length == _VARIABLE else length for length in lengths)
    if not least:
        return None
    if _VARIABLE not in lengths:
        return len(body) // least
    count = at = 0
    while len(body) - at >= least:
        for length in lengths:
            at += length if length != _VARIABLE else _own_length(body, at)
        if at > len(body):
            return None
        count += 1
    return count


def _own_length(body: bytes, at: int) -> int:
    """Octets of a field that says its length itself (RFC 7011 section 7), those included."""
    if body[at : at + 1] != b"\xff":
        return 1 + sum(body[at : at + 1])
    return 3 + int.from_bytes(body[at + 1 : at + 3], "big")
