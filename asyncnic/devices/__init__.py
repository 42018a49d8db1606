"""Where a chip comes from: a module or folder for each backend, which declares itself once (`backend.Backend`).

May import `lanes`, `pcnet32`, `linux` and the values of settings; what is heavy, only when a device is opened or looked
at. It is not the driver, and does nothing with frames: the nic does.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

from asyncnic.devices import macvtap, packet, pcap, qemu, tap, uio
from asyncnic.devices.backend import TAP_QUEUE_FULL, Backend
from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.lanes.rules import DEFAULT_LANES
from asyncnic.logs import fields

BACKENDS: Mapping[str, Backend] = {module.SPEC.name: module.SPEC for module in (tap, packet, macvtap, uio, qemu, pcap)}
"""All backends, by name: the one table."""

Opener = Callable[[DeviceOptions], Awaitable[Device]]
"""What opens a device that no user can name: a worker's queues of a TAP."""

log = logging.getLogger(__name__)


def listed() -> str:
    """How devices are typed, in one line."""
    *others, last = (backend.grammar for backend in BACKENDS.values())
    return f"{', '.join(others)} or {last}"


def described() -> str:
    """As `listed`, with what each means that does not say it by itself."""
    *others, last = (b.grammar + (f" ({b.help})" if b.help else "") for b in BACKENDS.values())
    return f"{', '.join(others)} or {last}"


def parse(text: str) -> tuple[Backend, str]:
    """The backend and its argument that `text` ("BACKEND:ARGUMENT") names.

    Raises:
        ValueError: it names none, or the argument is none that this backend has.
    """
    name, colon, argument = text.partition(":")
    if not colon or name not in BACKENDS:
        raise ValueError(f"must be {listed()}")
    backend = BACKENDS[name]
    return backend, backend.parse(argument)


def overflow(backend: str) -> str:
    """The reason that frames are dropped for when the kernel's queue of a device of this backend is full."""
    return BACKENDS[backend].overflow if backend in BACKENDS else TAP_QUEUE_FULL


def device(value: object) -> str:
    """A checker for the setting: a device by its name in normal form; a ValueError's text says what it must be."""
    backend, argument = parse(str(value))
    return f"{backend.name}:{argument}"


async def open_device(wanted: str | Opener, options: DeviceOptions) -> Device:
    """Open the device that `wanted` ("BACKEND:ARGUMENT") names, or that it opens itself.

    Raises:
        ValueError: it names none.
        DeviceError: the device is absent or cannot be used.
    """
    if not isinstance(wanted, str):
        return await wanted(options)
    try:
        backend, argument = parse(wanted)
    except ValueError as error:
        raise ValueError(f"{wanted!r} names no device: {error}") from None
    if not backend.laned and (options.knobs.lane != DEFAULT_LANES or options.knobs.shed):
        log.warning(
            "one lane", extra=fields(device=wanted, shedding=False, why="only a TAP and a packet ring have rules")
        )
    return await backend.open(argument, options)
