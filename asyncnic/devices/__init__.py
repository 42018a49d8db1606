"""Where a chip comes from: one module for each backend, imported when it is asked for."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import cast

from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.lanes.rules import DEFAULT_LANES
from asyncnic.logs import fields

BACKENDS: Mapping[str, str] = {
    "tap": "asyncnic.devices.tap.device",
    "macvtap": "asyncnic.devices.macvtap.device",
    "uio": "asyncnic.devices.uio.device",
    "qemu": "asyncnic.devices.qemu.device",
    "queue": "asyncnic.devices.tap.worker_queue",
}
"""Backend name to the module whose ``open_device(name, options)`` opens one."""
LANED = frozenset({"tap", "queue"})
"""Backends that have several lanes where they are asked for; the others have one."""

log = logging.getLogger(__name__)


async def open_device(spec: str, options: DeviceOptions) -> Device:
    """Open the device that `spec` ("BACKEND:NAME") names.

    Raises:
        ValueError: `spec` is not of that form or names no backend.
        DeviceError: the device is absent or cannot be used.
    """
    backend, colon, name = spec.partition(":")
    if not colon or not name or backend not in BACKENDS:
        raise ValueError(f"{spec!r} names no device: use one of {', '.join(f'{known}:NAME' for known in BACKENDS)}")
    opener = cast(Callable[[str, DeviceOptions], Awaitable[Device]], import_module(BACKENDS[backend]).open_device)
    if backend not in LANED and (options.knobs.lane != DEFAULT_LANES or options.knobs.shed):
        log.warning("one lane", extra=fields(device=spec, shedding=False, why="only a TAP has queues and rules"))
    return await opener(name, options)
