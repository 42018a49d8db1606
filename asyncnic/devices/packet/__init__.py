"""The interface that is already there: a chip in software on the kernel's packet ring (packet(7)) of a real interface.

device.py is the device; ring.py reads the kernel's slots, cutting.py cuts what is longer than a frame, filters.py says
which frames come at all, link.py what the interface is.
"""

from collections.abc import Sequence

from asyncnic.devices.backend import DEVICE, PRIVILEGE, Backend, Finding, Needs
from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.linux.privileges import NET_RAW, has_capability
from asyncnic.settings.values import interface_name


def _check(name: str, options: DeviceOptions) -> Sequence[Finding]:
    """The right to packet sockets, the interface, and its addresses where they are to be ours too."""
    from asyncnic.devices.packet.device import rules
    from asyncnic.devices.packet.link import ETHERNET, find

    capable = has_capability(NET_RAW)
    fix = "" if capable else "run as root, or --cap-add NET_RAW, or setcap cap_net_raw+ep on this Python"
    findings = [Finding("CAP_NET_RAW: packet sockets", capable, fix, PRIVILEGE)]
    link = find(name)
    if link is None:
        return [*findings, Finding(f"interface {name}", False, "there is none: see ip link", DEVICE)]
    ethernet = link.kind == ETHERNET
    findings.append(Finding(f"interface {name}: Ethernet", ethernet, "" if ethernet else "choose another", DEVICE))
    findings.append(Finding(f"interface {name}: up", link.up, "" if link.up else f"ip link set {name} up", DEVICE))
    if options.packet.host is not None:
        own = ", ".join(map(str, link.addresses))
        fix = "" if own else f"ip address add ADDRESS/PREFIX dev {name}, or --address"
        findings.append(Finding(f"addresses of {name}: {own or 'none'}", bool(own), fix, DEVICE))
    lanes, _ = rules(options.knobs, shared=options.packet.host is not None)
    return [*findings, Finding(f"lanes: {', '.join(lane.name for lane in lanes)}")]


async def _open(name: str, options: DeviceOptions) -> Device:
    from asyncnic.devices.packet.device import open_device

    return await open_device(name, options)


SPEC = Backend(
    name="packet",
    argument="INTERFACE",
    help="one that is there, with its addresses or some of our own",
    parse=interface_name,
    check=_check,
    open=_open,
    privileged=True,
    laned=True,
    overflow="packet_ring_full",
    rootless="setcap cap_net_raw+ep on this Python; in a container, --user and --cap-add NET_RAW",
    needs=Needs(binds=True),
)
