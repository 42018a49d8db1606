"""`stats`, `ring`, `regs` and `sockets` in a terminal: JSON of the service to text. Nothing is fetched or counted here.

Counters come in two-row tables as `ip -s link` has them, then as flat names as `ethtool -S` has them; what changes is
always in the same place.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asyncnic.sinks.ledger import REASONS

Numbers = Mapping[str, Any]

_HISTOGRAMS = ("burst_frames", "delivery_seconds", "loop_lag_seconds")
_NOT_COUNTERS = frozenset({"device", "settings", "build", "uptime_seconds", *_HISTOGRAMS})


def stats(now: Numbers, before: Numbers | None = None) -> str:
    """All of /api/v1/stats; with an earlier reading, rates a second beside the counters that changed."""
    flat, earlier = dict(flatten(now)), dict(flatten(before)) if before else {}
    seconds = now["uptime_seconds"] - before["uptime_seconds"] if before else 0.0
    rates = {name: (value - earlier[name]) / seconds for name, value in flat.items() if name in earlier and seconds > 0}
    lines = [*_heading(now)]
    for title, columns in _TABLES:
        lines += _two_rows(title, columns, flat, rates)
    for name, sink in now["sinks"].items():
        lines += [f"    sink {name}: {'up' if sink['up'] else 'DOWN'}"]
        lines += _two_rows("datagrams:", {term: f"sinks_{name}_{term}" for term in _SINK}, flat, rates)
    lines += ["", "NIC statistics:"]
    for name, value in flat.items():
        rate = f"  ({rates[name]:,.0f}/s)" if rates.get(name) else ""
        lines.append(f"     {name}: {value}{rate}")
    return "\n".join(lines)


_TABLES: Sequence[tuple[str, Mapping[str, str]]] = (
    (
        "RX:",
        {
            "bytes": "delivered_bytes",
            "offered": "offered",
            "delivered": "delivered",
            "filtered": "filtered",
            "in flight": "in_flight",
        },
    ),
    ("RX dropped:", {stage: f"dropped_{stage}" for stage in ("kernel", "card", "driver", "queue")}),
    (
        "RX errors:",
        {error: f"receive_errors_{error}" for error in ("crc", "framing", "overflow", "buffer", "length")},
    ),
    ("TX:", {"bytes": "transmitted_bytes", "packets": "transmitted_frames"}),
)


_SINK = ("received", "acknowledged", "in_flight", *(f"failed_{reason}" for reason in REASONS))


def flatten(numbers: Numbers) -> Iterator[tuple[str, int]]:
    """The counters and gauges of /api/v1/stats by flat names; a histogram gives its count."""
    for name, value in numbers.items():
        if name in _HISTOGRAMS:
            yield f"{name}_count", sum(value["counts"])
        elif name not in _NOT_COUNTERS:
            yield from _flat(name.removesuffix("_by_reason"), value)


def _flat(name: str, value: object) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}_{key}", inner)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value


def _heading(now: Numbers) -> Iterator[str]:
    device, settings = now["device"], now["settings"]
    state = ("UP" if device["up"] else "LOST") + (",READY" if now["ready"] else "")
    yield (
        f"{device['name']}: <{state}> mtu {settings['mtu']} delivery {settings['delivery']} stack {settings['stack']} "
        f"rx_ring {settings['rx_ring']} up {_duration(now['uptime_seconds'])}"
    )
    if now["not_ready"]:
        yield f"    not ready: {now['not_ready']}"
    yield f"    link/ether {device['mac']} chip {device['chip']} backend {device['backend']} resets {device['resets']}"
    for address, state in now["addresses"].items():
        yield f"    {'inet6' if ':' in address else 'inet'} {address} {state}"


def _two_rows(
    title: str, columns: Mapping[str, str], flat: Mapping[str, int], rates: Mapping[str, float]
) -> Iterator[str]:
    """Names above, values below, a row of rates under them where there are rates."""
    rows = [list(columns), [str(flat[name]) for name in columns.values()]]
    if rates:
        rows.append([f"{rates.get(name, 0.0):,.0f}/s" for name in columns.values()])
    widths = [max(7, *(len(row[at]) for row in rows)) for at in range(len(columns))]
    for number, row in enumerate(rows):
        label = title if number == 0 else ""
        yield f"    {label:<11} " + " ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def ring(rings: Mapping[str, Sequence[Numbers]]) -> str:
    """All of /api/v1/ring, a descriptor a line."""
    lines = []
    for name, descriptors in rings.items():
        card = sum(entry["owner"] == "card" for entry in descriptors)
        lines.append(f"{name} ring: {len(descriptors)} descriptors, {card} the card's, {len(descriptors) - card} ours")
        lines.append(f"  {'index':>5} {'owner':<5} {'address':>10} {'size':>5} {'count':>5}  bits")
        for entry in descriptors:
            bits = " ".join([*entry["bits"], *entry.get("errors", ())])
            count = entry.get("count", "")
            where = f"{entry['index']:>5} {entry['owner']:<5} {entry['address']:#010x}"
            lines.append(f"  {where} {entry['size']:>5} {count:>5}  {bits}".rstrip())
    return "\n".join(lines)


def registers(found: Sequence[Numbers]) -> str:
    """All of /api/v1/regs, a register a line."""
    return "\n".join(f"{entry['name']:<7} {entry['value']:#06x}  {' '.join(entry['bits'])}".rstrip() for entry in found)


_TIMES = frozenset(("rto", "rtt", "rttvar", "heard"))


def sockets(found: Mapping[str, Any]) -> str:
    """All of /api/v1/sockets as `ss -ti` has it: a line each, and under a connection what it knows of its way."""
    rows = [("Netid", "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port")]
    for one in found["listed"]:
        queues = str(one["receive_queue"]), str(one["send_queue"])
        rows.append((one["protocol"], one["state"], *queues, one["local"], one["peer"]))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row, details in zip(rows, [{}, *(one["details"] for one in found["listed"])], strict=True):
        lines.append("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        if details:
            lines.append("      " + " ".join(_detail(name, value) for name, value in details.items()))
    if found["left_out"]:
        lines.append(f"and {found['left_out']} more")
    return "\n".join(lines)


def sources(found: Sequence[Mapping[str, Any]]) -> str:
    """All of /api/v1/sources: who sends the most, his share of the last seconds, and what the limit has dropped."""
    rows = [("Share", "Dropped", "Source")]
    rows += [(f"{one['share']:.1%}", str(one["dropped"]), one["source"]) for one in found]
    return "\n".join(f"{share:>7}  {dropped:>12}  {source}" for share, dropped, source in rows)


def exporters(found: Sequence[Mapping[str, Any]]) -> str:
    """All of /api/v1/exporters: what is missing of each exporter's numbers, and what came twice or anew."""
    columns = ("missing", "received", "late", "duplicate", "restarts")
    rows = [("Missing", "Received", "Late", "Twice", "Anew", "Port", "Protocol", "Exporter")]
    for one in found:
        who = str(one["port"]), one["protocol"], f"{one['exporter']} {one['domain']}"
        rows.append((*(str(one[column]) for column in columns), *who))
    return "\n".join("  ".join((*(f"{cell:>9}" for cell in row[:6]), f"{row[6]:<8}", row[7])) for row in rows)


def _detail(name: str, value: float | str) -> str:
    return f"{name}:{value * 1000:.3f}ms" if name in _TIMES and not isinstance(value, str) else f"{name}:{value}"
