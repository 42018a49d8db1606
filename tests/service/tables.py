"""Every table of the running process by name: what keeps it, in which attribute, and how much is in it.

A table is a dict, list, set, deque or bytearray. The collector knows objects, and what they refer to; dicts of numbers
and octets alone it does not know itself, so that tables are looked for one step behind what it does know. Nothing is
said here of how large a table may be.
"""

import gc
from collections import deque
from collections.abc import Iterator
from functools import _lru_cache_wrapper
from types import FrameType, ModuleType
from typing import NamedTuple

KINDS = (dict, list, set, deque, bytearray)
_CACHE = _lru_cache_wrapper


class _Held(list[object]):
    """What the looking itself holds on to, which is no table of the process."""


class Table(NamedTuple):
    """One of them.

    Attributes:
        name: the keeper's class and its attribute ("Paths._known"); of what is in a table in turn, with "[]".
        keeper: the object that has it; None: nobody but a running function.
        content: the table itself.
    """

    name: str
    keeper: object
    content: object

    def __len__(self) -> int:
        return len(self.content)  # type: ignore[arg-type]


class Sizes:
    """Every table with more than `least` in it, held so that no other comes to have its id."""

    def __init__(self, least: int) -> None:
        gc.collect()
        known = gc.get_objects()
        self.objects = len(known)
        """How many things the collector knows."""
        self._held = _Held()
        self.lengths: dict[int, int] = {}
        for one in known:
            for table in (one, *gc.get_referents(one)):
                new = isinstance(table, KINDS) and table is not known and id(table) not in self.lengths
                if new and len(table) > least:
                    self._held.append(table)
                    self.lengths[id(table)] = len(table)

    def grown_since(self, before: "Sizes") -> list[object]:
        """Those that are longer than before, or new."""
        ours = {id(sizes.lengths) for sizes in (self, before)}
        return _Held(
            one
            for one in self._held
            if before.lengths.get(id(one), 0) < self.lengths[id(one)]
            and id(one) not in ours
            and not isinstance(one, _Held)
        )


def named(contents: list[object]) -> Iterator[Table]:
    """Name them; one that nothing but running functions keeps is named by its kind."""
    keepers: dict[int, list[object]] = {}
    for one in gc.get_objects():
        if not isinstance(one, (FrameType, _Held)):
            for behind in gc.get_referents(one):
                if isinstance(behind, (tuple, *KINDS)):
                    keepers.setdefault(id(behind), []).append(one)
    for content in contents:
        yield _named(content, content, keepers, "", 4)


def _named(content: object, inner: object, keepers: dict[int, list[object]], suffix: str, depth: int) -> Table:
    """`content` by its keeper; `inner` is what is asked about, `depth` tables may be around it."""
    around = keepers.get(id(inner), [])
    for keeper in around:
        if isinstance(keeper, ModuleType):
            return Table(f"module {keeper.__name__}{suffix}", keeper, content)
        if isinstance(keeper, _CACHE):
            return Table(f"functools.lru_cache{suffix}", keeper, content)
        if attribute := _attribute(keeper, inner):
            return Table(f"{type(keeper).__name__}.{attribute}{suffix}", keeper, content)
    for keeper in around:
        if isinstance(keeper, dict):
            for owner in keepers.get(id(keeper), []):
                if getattr(owner, "__dict__", None) is keeper:
                    attribute = next(name for name, value in vars(owner).items() if value is inner)
                    return Table(f"{type(owner).__name__}.{attribute}{suffix}", owner, content)
    for keeper in around:
        if type(keeper).__module__.startswith("asyncnic"):  # compiled: it shows nobody its attributes
            return Table(f"{type(keeper).__name__}.*{suffix}", keeper, content)
    for keeper in around:
        if isinstance(keeper, (tuple, *KINDS)) and depth:
            return _named(content, keeper, keepers, f"{suffix}[]", depth - 1)
    kinds = sorted({type(one).__name__ for one in around})
    return Table(f"{type(inner).__name__}{suffix} of {', '.join(kinds) or 'a function'}", None, content)


def _attribute(keeper: object, content: object) -> str:
    if isinstance(keeper, (*KINDS, ModuleType)):
        return ""
    if isinstance(keeper, type):
        return next((name for name, value in vars(keeper).items() if value is content), "")
    names = {name for kind in type(keeper).__mro__ for name in getattr(kind, "__slots__", ())}
    own = getattr(keeper, "__dict__", {})
    if own is content:
        return "__dict__"
    return next((name for name in (*own, *sorted(names)) if _value(keeper, own, name) is content), "")


def _value(keeper: object, own: dict[str, object], name: str) -> object:
    if name in own:
        return own[name]
    if name.startswith("__") and not name.endswith("__"):
        name = f"_{type(keeper).__name__.lstrip('_')}{name}"
    return getattr(keeper, name, None)
