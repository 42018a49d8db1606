"""What opening a TAP would miss, looked at without attaching to it: that would take it from its owner for a moment."""

import os
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink import nlmsg

from asyncnic.devices.backend import DEVICE, PRIVILEGE, Finding
from asyncnic.devices.device import DeviceOptions
from asyncnic.errors import DeviceError
from asyncnic.lanes.rules import parse_lanes, parse_shed
from asyncnic.lanes.steering import QUEUE_SLACK, LaneSteering
from asyncnic.linux.link import LinkState, state
from asyncnic.linux.privileges import NET_ADMIN, has_capability, user_name

TUN = Path("/dev/net/tun")
IFF_TAP = 2


def check_tap(name: str, options: DeviceOptions, *, laned: bool) -> list[Finding]:
    """The node, the interface, and whether this user may have it.

    Args:
        laned: whether it will have several lanes where it can, and then longer queues.
    """
    node, link = _node(), _link(name)
    capable = has_capability(NET_ADMIN)
    if link is None:
        fix = "" if capable else f"run as root, or make it beforehand: ip tuntap add {name} mode tap user {user_name()}"
        return [node, Finding(f"TAP {name}: may be made", capable, fix, PRIVILEGE)]
    if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_TUN_TYPE") != IFF_TAP:
        return [node, Finding(f"interface {name}: a TAP", False, "it is none: choose another --device", DEVICE)]
    owner = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_TUN_OWNER")
    ours = owner in (None, os.geteuid()) or capable
    fix = f"it belongs to uid {owner}: ip tuntap del {name} mode tap; ip tuntap add {name} mode tap user {user_name()}"
    in_use = link.get_attr("IFLA_CARRIER") == 1
    taken = "another process is attached to it: stop that one, or choose another --device"
    slack = 0 if not laned or check_lanes(name, options).fix else QUEUE_SLACK
    commands = _commands(name, options, state(name), slack)
    set_up = capable or not commands
    return [
        node,
        Finding(f"TAP {name}: there, may be attached to", ours, "" if ours else fix, PRIVILEGE),
        Finding(f"TAP {name}: not in use", not in_use, taken if in_use else "", DEVICE),
        Finding(f"TAP {name}: set up", set_up, "" if set_up else "; ".join(commands), PRIVILEGE),
    ]


def check_lanes(name: str, options: DeviceOptions) -> Finding:
    """The lanes that there will be; that there will be just one is nothing missing, but is told with its reason."""
    link, knobs = _link(name), options.knobs
    several = link is None or bool(link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_TUN_MULTI_QUEUE"))
    lanes, shed = parse_lanes(knobs.lane), parse_shed(knobs.shed)
    why = "" if several else f"the TAP has one queue: ip tuntap add {name} mode tap multi_queue user {user_name()}"
    if len(lanes) == 1 and not shed:
        why = "no other is asked for"
    else:
        try:
            steering = LaneSteering(lanes, shed, [knobs.tap_queue] * len(lanes))
        except DeviceError as error:
            return Finding("lanes: one", fix=str(error))
        try:
            steering.verify()
        except DeviceError as error:
            why = str(error)
        finally:
            steering.close()
    return Finding("lanes: one", fix=why) if why else Finding(f"lanes: {', '.join(lane.name for lane in lanes)}")


def _link(name: str) -> nlmsg | None:
    """The interface as rtnetlink has it in this network namespace, which /sys may not show; None: there is none."""
    with IPRoute() as route:
        found = route.link_lookup(ifname=name)
        return next(iter(route.get_links(*found)), None) if found else None


def _commands(name: str, options: DeviceOptions, now: LinkState, slack: int) -> list[str]:
    """What must still be said to the kernel to make the TAP as `options` want it, its queues `slack` frames longer."""
    commands = []
    length = options.knobs.tap_queue + slack
    if now.mtu != options.mtu:
        commands.append(f"ip link set {name} mtu {options.mtu}")
    if now.queue_length != length:
        commands.append(f"ip link set {name} txqueuelen {length}")
    if options.host_address and options.host_address not in now.addresses:
        commands.append(f"ip address add {options.host_address} dev {name}")
    if not now.up:
        commands.append(f"ip link set {name} up")
    return commands


def _node() -> Finding:
    if not TUN.exists():
        fix = "modprobe tun; in a container, --device /dev/net/tun"
        return Finding(str(TUN), False, fix, DEVICE)
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        return Finding(f"{TUN}: may be opened", False, f"chmod 0666 {TUN}, or run as its owner", PRIVILEGE)
    except OSError as error:
        return Finding(f"{TUN}: opens", False, f"{error.strerror}: modprobe tun", DEVICE)
    return Finding(f"{TUN}: may be opened")
