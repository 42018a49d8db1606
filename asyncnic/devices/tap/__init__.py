"""The chip's model on a TAP of the kernel: its descriptors, lanes, queues and counters.

May import what `devices` may. The chip is `pcnet32.model`, steering programs are `lanes`; nobody here reads a frame.
"""

from collections.abc import Sequence

from asyncnic.devices.backend import Backend, Finding, Needs
from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.linux.privileges import BPF, NET_ADMIN
from asyncnic.settings.values import interface_name


def _check(name: str, options: DeviceOptions) -> Sequence[Finding]:
    from asyncnic.devices.tap.check import check_lanes, check_tap

    return [*check_tap(name, options, laned=True), check_lanes(name, options)]


async def _open(name: str, options: DeviceOptions) -> Device:
    from asyncnic.devices.tap.device import open_device

    return await open_device(name, options)


SPEC = Backend(
    name="tap",
    argument="NAME",
    parse=interface_name,
    check=_check,
    open=_open,
    laned=True,
    shared=True,
    needs=Needs(capabilities=frozenset({NET_ADMIN, BPF}), nodes=("/dev/net/tun",), bpf=True),
)
