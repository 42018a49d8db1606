"""What faults there are, and how they are typed. Nothing here injects one."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from asyncnic.settings.values import duration

Place = Literal["wire", "ring", "chip", "seed"]
_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)%", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
LONGEST = 60.0
"""Seconds, of every time that a fault is told."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        amount: how its amount is typed: a share ("1%"), a time ("5ms") or a whole number.
        place: where it happens: on the wire, in the ring, in the chip; that last also where it is not in software.
        help: what happens, in a few words.
    """

    amount: Literal["share", "time", "number"]
    place: Place
    help: str


KINDS = {
    "drop": Kind("share", "wire", "frames are lost"),
    "corrupt": Kind("share", "wire", "one bit of a frame is another"),
    "truncate": Kind("share", "wire", "frames lose their end"),
    "duplicate": Kind("share", "wire", "frames come twice"),
    "delay": Kind("time", "wire", "every frame comes so much later"),
    "reorder": Kind("share", "wire", "frames let up to four others pass"),
    "rate": Kind("number", "wire", "so many frames a second come, and no more"),
    "garbage": Kind("share", "ring", "descriptors come back with arbitrary words"),
    "keep": Kind("share", "ring", "descriptors do not come back, nor their frames"),
    "late": Kind("share", "ring", "descriptors come back after those behind them"),
    "gone": Kind("time", "chip", "so often the chip reads 0xffff, for half a second"),
    "stop": Kind("time", "chip", "so often the chip stops itself"),
    "mute": Kind("share", "chip", "interrupts never come"),
    "spurious": Kind("time", "chip", "so often there is an interrupt without cause"),
    "seed": Kind("number", "seed", "what chance begins with"),
}
"""Every kind by its name: the one table."""
_AMOUNTS = {"share": "N%", "time": "TIME", "number": "N"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as it was typed: `amount` is a share from 0 to 1, seconds, or a number."""

    name: str
    amount: float
    text: str

    @property
    def place(self) -> Place:
        """Where it happens."""
        return KINDS[self.name].place


@dataclass(frozen=True, slots=True)
class Plan:
    """The faults of a device in the order in which frames meet them, and where its chance comes from."""

    faults: tuple[Fault, ...]
    seed: int

    def at(self, place: Place) -> list[Fault]:
        """Those of one place."""
        return [fault for fault in self.faults if fault.place == place]

    def amount(self, name: str) -> float:
        """Of the last fault of that name; 0: there is none."""
        return next((fault.amount for fault in reversed(self.faults) if fault.name == name), 0.0)

    def chance(self, salt: int) -> random.Random:
        """Chance of its own for one lane."""
        return random.Random(self.seed << 8 | salt)


def described() -> str:
    """All kinds with what happens, in one line."""
    return ", ".join(f"{name}={_AMOUNTS[kind.amount]} ({kind.help})" for name, kind in KINDS.items())


def parse(text: str) -> Fault:
    """The fault that `text` ("NAME=AMOUNT") says.

    Raises:
        ValueError: it says none; the text completes the sentence "--fault value: ...".
    """
    name, _, amount = text.partition("=")
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"must be NAME=AMOUNT, the name one of {', '.join(KINDS)}")
    return Fault(name, _amount(name, kind, amount), text)


def fault(value: object) -> str:
    """A checker for the setting: a fault as text."""
    return parse(str(value).strip()).text


def plan(texts: Sequence[str]) -> Plan:
    """The plan that these faults are. Raises ValueError as `parse`."""
    faults = tuple(parse(text) for text in texts)
    seed = next((int(one.amount) for one in faults if one.name == "seed"), 1)
    return Plan(tuple(one for one in faults if one.name != "seed"), seed)


def _amount(name: str, kind: Kind, text: str) -> float:
    if kind.amount == "share":
        match = _SHARE.fullmatch(text)
        if match is None or not 0.0 < float(match[1]) <= 100.0:
            raise ValueError(f"{name} takes a share of up to 100%, like {name}=1%")
        return float(match[1]) / 100.0
    if kind.amount == "number":
        if _NUMBER.fullmatch(text) is None or (name == "rate" and not int(text)):
            raise ValueError(f"{name} takes a whole number, like {name}=1000")
        return float(text)
    seconds = duration(text)
    if not 0.001 <= seconds <= LONGEST:
        raise ValueError(f"{name} takes a time from 1ms to {LONGEST:.0f}s, like {name}=5ms")
    return seconds
