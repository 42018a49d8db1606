"""Which coroutine gets the frames: what --stack names, ready to be run on a nic.

Names are resolved before the device is opened, so that a wrong one costs nothing. Running it, and running it again when
it ends, is the service's business.
"""

import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncnic.errors import SettingsError
from asyncnic.settings.model import Settings, shown

if TYPE_CHECKING:
    from asyncnic.nic.nic import Nic

Outcomes = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack on a nic. `run` may be called again when it has ended; `outcomes` goes on counting."""

    run: Callable[[], Awaitable[object]]
    outcomes: Callable[[], Outcomes]
    connect: Callable[[Callable[[memoryview], None]], None] | None = None
    """Give the stack what passes a frame on to the stacks of other workers with the same addresses: frames that one of
    them may wait for, such as ARP replies. None: it has no use for that."""
    overhear: Callable[[bytes], None] | None = None
    """Let the stack hear such a frame of another worker's."""
    events: Callable[[], Mapping[str, int]] = dict
    """What it counts that is not the end of a frame, by name; only grows."""
    addresses: Callable[[], Mapping[str, str]] = dict
    """Its addresses, and whether they are "tentative", "preferred" or "duplicate"."""
    trouble: Callable[[], str] = str
    """Why it does not serve all that it should, in one line; empty: it does."""
    set_up: Callable[[], Awaitable[None]] | None = None
    """What the stack needs before it is run for the first time, while there are privileges; may raise DeviceError."""
    close: Callable[[], None] | None = None
    """Let go of what `set_up` has opened."""


StackFactory = Callable[["Nic"], Stack]


def choose(settings: Settings) -> StackFactory:
    """What makes the stack that `settings` name, once there is a nic.

    Raises:
        SettingsError: there is no such stack, or one of its services does not exist.
    """
    if settings.stack == "inet":
        return _inet(settings)
    if settings.stack == "sink":
        from asyncnic.stacks.sink import sink

        return lambda nic: Stack(lambda: sink(nic), dict)
    if settings.stack == "kernel":
        return _kernel(settings)
    return _coroutine(settings)


def _inet(settings: Settings) -> StackFactory:
    from asyncnic.stacks.inet.services import parse_service
    from asyncnic.stacks.inet.skin import InetStack

    if any(text.count(":") > 1 for text in settings.service):
        _look_in_current_directory()
    try:
        services = [parse_service(text) for text in settings.service]
    except ValueError as error:
        raise SettingsError(f"{settings.origin('service')}: {error}") from None
    ports = [service.port for service in services]
    if twice := sorted({port for port in ports if ports.count(port) > 1}):
        raise SettingsError(f"{settings.origin('service')}: port {twice[0]} can have one service only")

    def make(nic: "Nic") -> Stack:
        stack = InetStack(nic, settings.address, services)
        inet = stack.inet
        return Stack(
            stack.run,
            inet.outcomes,
            inet.connect,
            inet.overhear,
            events=inet.totals.as_dict,
            addresses=inet.addresses,
            trouble=inet.trouble,
        )

    return make


def _kernel(settings: Settings) -> StackFactory:
    from asyncnic.stacks.kernel import KernelStack

    def make(nic: "Nic") -> Stack:
        stack = KernelStack(nic, settings.kernel_if, settings.address)
        return Stack(stack.run, stack.outcomes, set_up=stack.set_up, close=stack.close)

    return make


def _coroutine(settings: Settings) -> StackFactory:
    """The user's own coroutine function, found as "package.module:name"."""
    _look_in_current_directory()
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
    return lambda nic: Stack(lambda: function(nic), dict)


def _look_in_current_directory() -> None:
    """Let the user's own modules be found where the service was started, after all others: whoever may write there
    must not be imported in the place of something that we or our libraries import later.
    """
    if "" not in sys.path:
        sys.path.append("")
