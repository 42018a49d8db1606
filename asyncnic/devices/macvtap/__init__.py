"""The chip's model on a macvtap: one more station on the wire of a real interface.

May import what `devices` may, and the TAP's lane. It is no TAP of our own: the interface below belongs to the host.
"""

import os
from collections.abc import Sequence

from asyncnic.devices.backend import DEVICE, ONE_LANE, PRIVILEGE, Backend, Finding, Needs
from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.linux.privileges import MKNOD, NET_ADMIN, has_capability, user_name
from asyncnic.settings.values import interface_name


def _check(name: str, options: DeviceOptions) -> Sequence[Finding]:
    """The macvtap and its node, or the interface to make one on and whether this user may."""
    from asyncnic.devices.macvtap.link import KIND, find, node_of

    link = find(name)
    if link is None:
        return [Finding(f"interface {name}", False, "there is none: see ip link", DEVICE), ONE_LANE]
    if link.kind != KIND:
        fix = f"run as root, or make it beforehand: ip link add link {name} name NAME type macvtap mode bridge"
        capable = has_capability(NET_ADMIN)
        return [Finding(f"macvtap on {name}: may be made", capable, "" if capable else fix, PRIVILEGE), ONE_LANE]
    node = node_of(link)
    what = f"{node} of macvtap {name}"
    if not node.exists():
        return [Finding(what, False, f"in a container, --device {node}", DEVICE), ONE_LANE]
    ours = os.access(node, os.R_OK | os.W_OK)
    return [Finding(f"{what}: may be opened", ours, "" if ours else f"chown {user_name()} {node}", PRIVILEGE), ONE_LANE]


async def _open(name: str, options: DeviceOptions) -> Device:
    from asyncnic.devices.macvtap.device import open_device

    return await open_device(name, options)


SPEC = Backend(
    name="macvtap",
    argument="INTERFACE",
    help="a MAC address of its own on the wire of that interface",
    parse=interface_name,
    check=_check,
    open=_open,
    needs=Needs(capabilities=frozenset({NET_ADMIN, MKNOD}), nodes=("/dev",), makes_nodes=True),
)
