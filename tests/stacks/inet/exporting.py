"""Flow exports built by hand after RFC 3954, RFC 7011 and sFlow v5. Without the reader's code, and so its faults."""

import struct
from collections.abc import Sequence

TEMPLATE = 300
FIELDS = ((8, 4), (12, 4), (1, 4))
"""Information elements and octets: two IPv4 addresses and a count of octets."""


def netflow5(number: int, flows: int) -> bytes:
    """Cisco's version 5: a header, and records of 48 octets."""
    record = struct.pack("!4s4s4sHHIIIIHHBBBBHHBBH", b"\xc0\0\2\1", b"\xc0\0\2\2", bytes(4), *((0,) * 17))
    return struct.pack("!HHIIIIBBH", 5, flows, 1000, 1_700_000_000, 0, number, 0, 3, 0) + record * flows


def netflow9(number: int, source: int = 7) -> bytes:
    """RFC 3954: a template and a record of it."""
    fields = b"".join(struct.pack("!HH", *field) for field in FIELDS)
    template = struct.pack("!HHHH", 0, 8 + len(fields), TEMPLATE, len(FIELDS)) + fields
    data = struct.pack("!HH4s4sI", TEMPLATE, 16, b"\xc0\0\2\1", b"\xc0\0\2\2", 60)
    return struct.pack("!HHIIII", 9, 2, 1000, 1_700_000_000, number, source) + template + data


def ipfix(number: int, *sets: bytes, domain: int = 7) -> bytes:
    """RFC 7011 section 3.1."""
    body = b"".join(sets)
    return struct.pack("!HHIII", 10, 16 + len(body), 1_700_000_000, number, domain) + body


def template(*more: tuple[int, int], number: int = TEMPLATE, enterprise: int = 0) -> bytes:
    """A template set (section 3.3.2): FIELDS and `more`, the last with an enterprise number if there is one."""
    fields = [struct.pack("!HH", *field) for field in (*FIELDS, *more)]
    if enterprise:
        kind, length = more[-1]
        fields[-1] = struct.pack("!HHI", 0x8000 | kind, length, enterprise)
    body = struct.pack("!HH", number, len(fields)) + b"".join(fields)
    return struct.pack("!HH", 2, 4 + len(body)) + body


def options_template(number: int) -> bytes:
    """An options template set (section 3.4.2.2): a scope of 4 octets, and a counter of 8."""
    body = struct.pack("!HHHHHHH", number, 2, 1, 149, 4, 41, 8)
    return struct.pack("!HH", 3, 4 + len(body)) + body


def records(count: int, tails: Sequence[bytes] = (), number: int = TEMPLATE, padding: int = 0) -> bytes:
    """A data set (section 3.3.3) of so many records of FIELDS, each with its tail."""
    octets = b"\xc0\0\2\1" + b"\xc0\0\2\2" + struct.pack("!I", 60)
    body = b"".join(octets + tail for tail in (tails or [b""] * count)) + bytes(padding)
    return struct.pack("!HH", number, 4 + len(body)) + body


def variable(text: bytes, long: bool = False) -> bytes:
    """A field of variable length (section 7), its length in one octet or in three."""
    return (struct.pack("!BH", 255, len(text)) if long else bytes([len(text)])) + text


def sflow(number: int, agent: bytes = b"\xc0\0\2\1", sub_agent: int = 0) -> bytes:
    """An sFlow v5 datagram with a generic counter sample of an interface."""
    counters = struct.pack("!IIQIIQIIIIIIQIIIIII", 1, 6, 10**9, 1, 3, *((0,) * 13), 1)
    record = struct.pack("!II", 1, len(counters)) + counters
    sample = struct.pack("!III", number, 1, 1) + record
    head = struct.pack("!II", 5, 1 if len(agent) == 4 else 2) + agent + struct.pack("!IIII", sub_agent, number, 1000, 1)
    return head + struct.pack("!II", 2, len(sample)) + sample
