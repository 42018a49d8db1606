"""Which stack gets the frames: what --stack names, found and ready to be made on a nic.

Names are resolved before the device is opened, so that a wrong one costs nothing. Running it, and running it again when
it ends, is the service's business.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import asyncnic.stacks
from asyncnic.errors import SettingsError
from asyncnic.settings.values import shown
from asyncnic.stacks.path import look_in_current_directory
from asyncnic.stacks.stack import Stack, StackFactory, StackSettings, StackSpec

if TYPE_CHECKING:
    from asyncnic.nic.nic import Nic

_DOTTED = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_COROUTINE = re.compile(rf"{_DOTTED}:{_DOTTED}", re.ASCII)


def _found() -> Mapping[str, StackSpec]:
    names = (module.name for module in pkgutil.iter_modules(asyncnic.stacks.__path__, "asyncnic.stacks."))
    modules = (importlib.import_module(name) for name in names if name != __name__)
    specs = (found for module in modules if isinstance(found := getattr(module, "SPEC", None), StackSpec))
    return {spec.name: spec for spec in specs}


STACKS = _found()
"""Every stack that there is, by name: the modules of `asyncnic.stacks` that declare one."""


def listed() -> str:
    """How stacks are typed, in one line."""
    return f"{', '.join(STACKS)} or package.module:coroutine"


def described() -> str:
    """As `listed`, with what each is."""
    return f"{', '.join(f'{spec.name} ({spec.help})' for spec in STACKS.values())} or package.module:coroutine"


def stack(value: object) -> str:
    """A checker for the setting: the name of a stack, or "package.module:coroutine"."""
    text = str(value)
    if text not in STACKS and not _COROUTINE.fullmatch(text):
        raise ValueError(f"must be {listed()}")
    return text


def choose(settings: StackSettings) -> StackFactory:
    """What makes the stack that `settings` name, once there is a nic.

    Raises:
        SettingsError: there is no such stack, or one of its services does not exist.
    """
    spec = STACKS.get(settings.stack)
    return spec.make(settings) if spec is not None else _coroutine(settings)


class CoroutineStack(Stack):
    """The user's own coroutine function, called with the nic."""

    def __init__(self, function: "Callable[[Nic], Awaitable[object]]", nic: "Nic") -> None:
        self._function = function
        self._nic = nic

    async def run(self) -> object:
        """See `Stack.run`."""
        return await self._function(self._nic)


def _coroutine(settings: StackSettings) -> StackFactory:
    """The user's own coroutine function, found as "package.module:name"."""
    look_in_current_directory()
    module_name, _, path = settings.stack.partition(":")
    origin = settings.origin("stack")
    try:
        found: object = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise SettingsError(f"{origin}: cannot import {module_name}: {type(error).__name__}: {shown(error)}") from None
    for name in path.split("."):
        found = getattr(found, name, None)
    if not inspect.iscoroutinefunction(found):
        raise SettingsError(f"{origin}: {module_name} has no coroutine function {path}")
    function: Callable[[Nic], Awaitable[object]] = found
    return lambda nic: CoroutineStack(function, nic)
