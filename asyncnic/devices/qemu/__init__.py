"""QEMU's PCnet, driven from outside over qtest: a chip that nobody here wrote, without a guest.

May import what `devices` may. The chip is not modelled here; the model that is held to it is `pcnet32.model`.
"""

import shutil
from collections.abc import Sequence

from asyncnic.devices.backend import DEVICE, ONE_LANE, Backend, Finding, Needs
from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.settings.values import interface_name


def _check(name: str, options: DeviceOptions) -> Sequence[Finding]:
    from asyncnic.devices.qemu.process import PACKAGE, QEMU
    from asyncnic.devices.tap.check import check_tap

    found = shutil.which(QEMU) is not None
    program = Finding(f"{QEMU}: installed", found, "" if found else f"apt install {PACKAGE}", DEVICE)
    return [program, *check_tap(name, options, laned=False), ONE_LANE]


async def _open(name: str, options: DeviceOptions) -> Device:
    from asyncnic.devices.qemu.device import open_device

    return await open_device(name, options)


SPEC = Backend(
    name="qemu",
    argument="TAPNAME",
    parse=interface_name,
    check=_check,
    open=_open,
    needs=Needs(problem="QEMU is started anew when it has ended"),
)
