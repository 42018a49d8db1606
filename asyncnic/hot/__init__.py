"""Which form of the hot path runs: the compiled one where it was built, else plain Python.

`IMPLEMENTATION` says which. The variable ASYNCNIC_HOT_PATH=plain asks for plain Python although the compiled form is
there: that is how the tests hold both to the same expectations. The texts in this package are compiled under another
name; what is plain elsewhere has a twin in _compiled.pyx or _packet.pyx. Nothing but the choice is made here.
"""

import importlib
import os
from types import ModuleType
from typing import TypeVar, cast

VARIABLE = "ASYNCNIC_HOT_PATH"

_T = TypeVar("_T")


def _load(name: str) -> ModuleType | None:
    if os.environ.get(VARIABLE) == "plain":
        return None
    try:
        return importlib.import_module(f"asyncnic.hot._{name}")
    except ImportError:
        return None


_common = _load("compiled")  # not `_compiled`: importing that module sets this name
IMPLEMENTATION = "plain" if _common is None else "compiled"


def choose(plain: _T, twin: str = "") -> _T:
    """The compiled form of `plain`, a function or class of the same name; `plain` itself where there is none.

    Args:
        plain: what runs where nothing is compiled.
        twin: the module (without its underscore) that has it, where that is neither one here nor the common one.
    """
    name, module = getattr(plain, "__name__"), getattr(plain, "__module__")  # noqa: B009 - no attributes to mypy
    package, _, last = module.rpartition(".")
    found = _load(twin or last) if twin or package == "asyncnic.hot" else _common
    return plain if found is None else cast(_T, getattr(found, name))
