"""What all experiments share: cases played in interleaved rounds, which systems can be measured here, and progress.

Interleaving is what makes two medians comparable: each round plays every case once, every other round in the opposite
order, so that a machine that gets slower or faster meanwhile does it to all of them.
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asyncnic.bench.case import SYSTEMS, Case, Figures, run_case
from asyncnic.bench.report import Spread
from asyncnic.errors import Failed, SettingsError

_MODULES = {"scapy": "scapy", "pytcp": "pmd_pytcp"}
"""Systems that come with the extra ``asyncnic[bench]``, and what has to be importable for them."""

Play = Callable[[Case], Figures]


def choose_systems(names: Sequence[str], default: Sequence[str]) -> list[str]:
    """The systems to measure: those named, or of the default ones those that are installed.

    Raises:
        SettingsError: there is no such system.
        Failed: one that was named is not installed.
    """
    for name in names:
        if name not in SYSTEMS:
            raise SettingsError(f"--systems {name}: must be of {', '.join(SYSTEMS)}")
        if not installed(name):
            raise Failed(f"--systems {name}: not installed: pip install 'asyncnic[bench]'")
    missing = [name for name in default if not installed(name)]
    if missing and not names:
        tell(f"not measured, for want of asyncnic[bench]: {', '.join(missing)}")
    return list(names) or [name for name in default if name not in missing]


def installed(system: str) -> bool:
    """Whether what a system is made of can be imported."""
    return system not in _MODULES or importlib.util.find_spec(_MODULES[system]) is not None


def play_rounds(cases: Mapping[str, Case], runs: int, play: Play = run_case) -> dict[str, list[Figures]]:
    """Play each case `runs` times, interleaved; the outcomes by the cases' labels, in the order of the rounds.

    Raises:
        DeviceError, Failed: what `run_case` raises.
    """
    outcomes: dict[str, list[Figures]] = {label: [] for label in cases}
    labels = list(cases)
    for number in range(runs):
        for place, label in enumerate(labels if number % 2 == 0 else reversed(labels)):
            tell(f"[{number * len(labels) + place + 1}/{runs * len(labels)}] {label}")
            outcomes[label].append(play(cases[label]))
    return outcomes


def ratio(over: Sequence[Figures], under: Sequence[Figures], of: Callable[[Figures], float]) -> Spread:
    """A figure of one case over that of another, round by round."""
    return Spread.of([of(one) / of(other) for one, other in zip(over, under, strict=True)])


def spread(outcomes: Sequence[Figures], of: Callable[[Figures], float]) -> Spread:
    """A figure of a case over its runs."""
    return Spread.of([of(outcome) for outcome in outcomes])


def described(system: str, outcomes: Sequence[Figures]) -> dict[str, Any]:
    """What a result says about a system besides figures."""
    return {"about": SYSTEMS[system].about, "wire": SYSTEMS[system].wire, "version": outcomes[0].version}


def tell(line: str) -> None:
    """Progress, for whoever watches."""
    print(line, file=sys.stderr, flush=True)
