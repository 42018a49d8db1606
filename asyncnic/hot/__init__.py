"""Which twin of the hot path runs: the compiled one where it was built, else plain Python.

`IMPLEMENTATION` says which. The variable ASYNCNIC_HOT_PATH=plain asks for plain Python although the compiled twin is
there: that is how the tests hold both to the same expectations. Nothing but the choice is made here.
"""

import importlib
import os
from types import ModuleType
from typing import TypeVar, cast

VARIABLE = "ASYNCNIC_HOT_PATH"

_T = TypeVar("_T")


def _load() -> ModuleType | None:
    if os.environ.get(VARIABLE) == "plain":
        return None
    try:
        return importlib.import_module("asyncnic.hot._compiled")
    except ImportError:
        return None


_compiled = _load()
IMPLEMENTATION = "plain" if _compiled is None else "compiled"


def choose(plain: _T) -> _T:
    """The compiled twin of `plain`, a function or class of the same name; `plain` itself where there is none."""
    name = getattr(plain, "__name__")  # noqa: B009 - a type variable has no such attribute to mypy
    return plain if _compiled is None else cast(_T, getattr(_compiled, name))
