"""A PCI function bound to uio_pci_generic: registers, DMA memory from huge pages, the interrupt.

May import what `devices` may. The driver is `pcnet32.driver`, the same as for every other chip.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from asyncnic.devices.backend import DEVICE, ONE_LANE, PRIVILEGE, Backend, Finding, Needs
from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.linux.privileges import SYS_ADMIN, has_capability, user_name

PCI = Path("/sys/bus/pci/devices")
UIO_DRIVER = Path("/sys/bus/pci/drivers/uio_pci_generic")
FREE_HUGE_PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")


def _parse(address: str) -> str:
    address = address.lower()
    if not _PCI_ADDRESS.fullmatch(address):
        raise ValueError("must name a PCI function, like uio:0000:00:03.0")
    return address


def _check(address: str, options: DeviceOptions) -> Sequence[Finding]:
    return [*_check_function(address), ONE_LANE]


def _check_function(address: str) -> Sequence[Finding]:
    function = PCI / address
    if not function.exists():
        return [Finding(f"PCI function {address}", False, "see lspci -D for those that are there", DEVICE)]
    bound = f"PCI function {address}: with a UIO driver"
    if not any(function.glob("uio/uio*")):
        # A card without the INTx-disable bit (PCI 2.3) is refused by that driver: `bind` says so.
        fix = f"asyncnic bind {address}"
        return [Finding(bound, False, fix if UIO_DRIVER.exists() else f"modprobe uio_pci_generic; {fix}", DEVICE)]
    resource = function / "resource0"
    if not os.access(resource, os.R_OK | os.W_OK):
        fix = f"chown {user_name()} {resource}, or run as root"
        return [Finding(f"{resource}: may be opened", False, fix, PRIVILEGE)]
    free = int(FREE_HUGE_PAGES.read_text()) if FREE_HUGE_PAGES.exists() else 0
    able = has_capability(SYS_ADMIN)
    fix = "" if able else "run as root (CAP_SYS_ADMIN); the service drops it when the device is open"
    return [
        Finding(bound),
        Finding("a huge page for DMA: free", free > 0, "" if free else "sysctl vm.nr_hugepages=8", DEVICE),
        Finding("physical addresses: visible", able, fix, PRIVILEGE),
    ]


async def _open(address: str, options: DeviceOptions) -> Device:
    from asyncnic.devices.uio.device import open_device

    return await open_device(address, options)


SPEC = Backend(
    name="uio",
    argument="PCI-ADDRESS",
    parse=_parse,
    check=_check,
    open=_open,
    privileged=True,
    needs=Needs(nodes=("/sys", "/dev")),
)
