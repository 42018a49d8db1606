"""What the service itself says of its metrics, for the panels: their names, their help, and the unit that follows.

It is read from the scrape that a test holds the collector to; so a panel that asks for a metric which does not exist
does not build, and a panel's description ends with what the collector says of each metric in it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

SCRAPE = Path(__file__).parents[1] / "tests" / "web" / "golden.prom"
_NAME = re.compile(r"\basyncnic_[a-z0-9_]+")
_PART = re.compile(r"_(bucket|sum|count)$")
_FREQUENCY = re.compile(
    r"^sum(?: by \([a-z, ]*\))? ?\(rate\(asyncnic_[a-z_]+_(\w+?)_total\{[^}]*\}\[\$__rate_interval\]\)\)$"
)


class UnknownMetricError(Exception):
    """A panel asks for a metric that the service does not have."""


def _declared() -> dict[str, str]:
    """Help by name, of every metric of the scrape."""
    lines = (line.split(" ", 3) for line in SCRAPE.read_text().splitlines() if line.startswith("# HELP "))
    return {name: text for _, _, name, text in lines}


HELP = _declared()


def names(expressions: Sequence[str]) -> list[str]:
    """The service's metrics in these expressions, each once, in order.

    Raises:
        UnknownMetricError: one of them is none.
    """
    found = dict.fromkeys(name for expression in expressions for name in _NAME.findall(expression))
    known = dict.fromkeys(name if name in HELP else _PART.sub("", name) for name in found)
    for name in known:
        if name not in HELP:
            raise UnknownMetricError(f"{name}: the service has no such metric (see {SCRAPE.name})")
    return list(known)


def described(about: str, expressions: Sequence[str]) -> str:
    """`about`, and what the collector says of each metric."""
    return "\n\n".join([about, *(f"{name}: {HELP[name]}" for name in names(expressions))])


def unit(expressions: Sequence[str]) -> str:
    """Grafana's unit for what these expressions give, where their metrics' names say it; else none ("short")."""
    units = {_unit_of(expression) for expression in expressions}
    return units.pop() if len(units) == 1 else "short"


def _unit_of(expression: str) -> str:
    frequency = _FREQUENCY.match(expression)
    if frequency:
        return "pps" if frequency[1] in ("frames", "packets") else "Bps" if frequency[1] == "bytes" else "ops"
    bases = {_PART.sub("", name) for name in _NAME.findall(expression)}
    for ending, of in (("_seconds", "s"), ("_bytes", "bytes")):
        if bases and all(name.endswith(ending) for name in bases):
            return of
    return "short"
