"""The preflight: what `asyncnic run` would miss on this machine, each with its fix. It changes nothing.

The device is looked at, never opened: attaching to a TAP would take it from its owner for a moment. What only opening
can tell (a chip that does not come up) is not checked.
"""

import os
import platform
import pwd
import shutil
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink import nlmsg

from asyncnic.devices.macvtap.link import KIND, find, node_of
from asyncnic.devices.qemu.process import PACKAGE, QEMU
from asyncnic.errors import DeviceError, SettingsError
from asyncnic.hot import IMPLEMENTATION
from asyncnic.lanes.rules import parse_lanes, parse_shed
from asyncnic.lanes.steering import QUEUE_SLACK, LaneSteering
from asyncnic.linux.link import LinkState
from asyncnic.linux.link import state as link_state
from asyncnic.linux.privileges import NET_ADMIN, SYS_ADMIN, has_capability
from asyncnic.settings.model import Settings
from asyncnic.settings.values import split_listen

TUN = Path("/dev/net/tun")
PCI = Path("/sys/bus/pci/devices")
UIO_DRIVER = Path("/sys/bus/pci/drivers/uio_pci_generic")
FREE_HUGE_PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")

IFF_TAP = 2
FAILED, USAGE, PRIVILEGE, DEVICE = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: there, or missing with its fix. `code` is the exit code that its absence gives `run`.

    What is there can have a fix too, for more of it.
    """

    what: str
    ok: bool = True
    fix: str = ""
    code: int = 0

    def as_json(self) -> dict[str, object]:
        """The finding as JSON's types."""
        return asdict(self)


_ONE_LANE = Finding("lanes: one", fix="only a TAP has queues for more")


def check(settings: Settings) -> list[Finding]:
    """Look at everything that `settings` need."""
    backend, _, name = settings.device.partition(":")
    findings = [_software(settings), Finding(f"packet path: {IMPLEMENTATION}")]
    if backend == "tap":
        findings += _tap(name, settings)
    elif backend == "macvtap":
        findings += [_macvtap(name), _ONE_LANE]
    elif backend == "uio":
        findings += [*_uio(name), _ONE_LANE]
    else:
        findings += [_program(QEMU, PACKAGE), *_tap(name, settings)]
    return [*findings, _listen(settings), _stack(settings), _web_config(settings)]


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when nothing is missing; else the code with which `run` would end first: usage, privilege, device, failure."""
    codes = {finding.code for finding in findings if not finding.ok}
    return next((code for code in (USAGE, PRIVILEGE, DEVICE, FAILED) if code in codes), 0)


def as_text(findings: Sequence[Finding]) -> str:
    """A line a finding: ok or missing, what, and the fix."""
    width = max(len(finding.what) for finding in findings)
    lines = []
    for finding in findings:
        state = "ok     " if finding.ok else "missing"
        lines.append(f"{state}  {finding.what:<{width}}  {finding.fix}".rstrip())
    return "\n".join(lines)


def _software(settings: Settings) -> Finding:
    return Finding(f"Python {platform.python_version()}, uvloop {metadata.version('uvloop')}, --loop {settings.loop}")


def _tap(name: str, settings: Settings) -> list[Finding]:
    """The node, the interface, and whether this user may have it."""
    node, link = _node(), _link(name)
    capable = has_capability(NET_ADMIN)
    if link is None:
        fix = "" if capable else f"run as root, or make it beforehand: ip tuntap add {name} mode tap user {_user()}"
        return [node, Finding(f"TAP {name}: may be made", capable, fix, PRIVILEGE), _lanes(name, settings, True)]
    if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_TUN_TYPE") != IFF_TAP:
        return [node, Finding(f"interface {name}: a TAP", False, "it is none: choose another --device", DEVICE)]
    owner = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_TUN_OWNER")
    ours = owner in (None, os.geteuid()) or capable
    fix = f"it belongs to uid {owner}: ip tuntap del {name} mode tap; ip tuntap add {name} mode tap user {_user()}"
    in_use = link.get_attr("IFLA_CARRIER") == 1
    taken = "another process is attached to it: stop that one, or choose another --device"
    several = bool(link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_TUN_MULTI_QUEUE"))
    lanes = _lanes(name, settings, several)
    commands = _commands(name, settings, link_state(name), slack=0 if lanes.fix else QUEUE_SLACK)
    set_up = capable or not commands
    return [
        node,
        Finding(f"TAP {name}: there, may be attached to", ours, "" if ours else fix, PRIVILEGE),
        Finding(f"TAP {name}: not in use", not in_use, taken if in_use else "", DEVICE),
        Finding(f"TAP {name}: set up", set_up, "" if set_up else "; ".join(commands), PRIVILEGE),
        lanes,
    ]


def _macvtap(name: str) -> Finding:
    """The macvtap and its node, or the interface to make one on and whether this user may."""
    link = find(name)
    if link is None:
        return Finding(f"interface {name}", False, "there is none: see ip link", DEVICE)
    if link.kind != KIND:
        fix = f"run as root, or make it beforehand: ip link add link {name} name NAME type macvtap mode bridge"
        capable = has_capability(NET_ADMIN)
        return Finding(f"macvtap on {name}: may be made", capable, "" if capable else fix, PRIVILEGE)
    node = node_of(link)
    if not node.exists():
        return Finding(f"{node} of macvtap {name}", False, f"in a container, --device {node}", DEVICE)
    ours = os.access(node, os.R_OK | os.W_OK)
    return Finding(
        f"{node} of macvtap {name}: may be opened", ours, "" if ours else f"chown {_user()} {node}", PRIVILEGE
    )


def _lanes(name: str, settings: Settings, several: bool) -> Finding:
    """The lanes that there will be; that there will be just one is nothing missing, but is told with its reason.

    Args:
        several: whether the TAP has, or will be made with, several queues.
    """
    if not settings.device.startswith("tap:"):
        return _ONE_LANE
    knobs = settings.knobs()
    lanes, shed = parse_lanes(knobs.lane), parse_shed(knobs.shed)
    why = "" if several else f"the TAP has one queue: ip tuntap add {name} mode tap multi_queue user {_user()}"
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


def _commands(name: str, settings: Settings, state: LinkState, slack: int) -> list[str]:
    """What must still be said to the kernel to make the TAP as `settings` want it, its queues `slack` frames longer."""
    commands = []
    queue = settings.knobs().tap_queue + slack
    if state.mtu != settings.mtu:
        commands.append(f"ip link set {name} mtu {settings.mtu}")
    if state.queue_length != queue:
        commands.append(f"ip link set {name} txqueuelen {queue}")
    if settings.given("host_address") and settings.host_address and str(settings.host_address) not in state.addresses:
        commands.append(f"ip address add {settings.host_address} dev {name}")
    if not state.up:
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


def _uio(address: str) -> list[Finding]:
    function = PCI / address
    if not function.exists():
        return [Finding(f"PCI function {address}", False, "see lspci -D for those that are there", DEVICE)]
    if not any(function.glob("uio/uio*")):
        # A card without the INTx-disable bit (PCI 2.3) is refused by that driver: `bind` says so.
        fix = (
            f"asyncnic bind {address}" if UIO_DRIVER.exists() else f"modprobe uio_pci_generic; asyncnic bind {address}"
        )
        return [Finding(f"PCI function {address}: with a UIO driver", False, fix, DEVICE)]
    resource = function / "resource0"
    if not os.access(resource, os.R_OK | os.W_OK):
        return [Finding(f"{resource}: may be opened", False, f"chown {_user()} {resource}, or run as root", PRIVILEGE)]
    free = int(FREE_HUGE_PAGES.read_text()) if FREE_HUGE_PAGES.exists() else 0
    return [
        Finding(f"PCI function {address}: with a UIO driver"),
        Finding("a huge page for DMA: free", free > 0, "" if free else "sysctl vm.nr_hugepages=8", DEVICE),
        _sees_physical_addresses(),
    ]


def _sees_physical_addresses() -> Finding:
    able = has_capability(SYS_ADMIN)
    fix = "" if able else "run as root (CAP_SYS_ADMIN); the service drops it when the device is open"
    return Finding("physical addresses: visible", able, fix, PRIVILEGE)


def _program(name: str, package: str) -> Finding:
    found = shutil.which(name) is not None
    return Finding(f"{name}: installed", found, "" if found else f"apt install {package}", DEVICE)


def _listen(settings: Settings) -> Finding:
    host, port = split_listen(settings.listen)
    what = f"--listen {settings.listen}: free"
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except PermissionError:
        return Finding(what, False, "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one", PRIVILEGE)
    except OSError as error:
        return Finding(what, False, f"{error.strerror}: choose another --listen", FAILED)
    return Finding(what)


def _stack(settings: Settings) -> Finding:
    from asyncnic.stacks.choice import choose

    try:
        choose(settings)
    except SettingsError as error:
        return Finding(f"--stack {settings.stack}", False, str(error), USAGE)
    return Finding(f"--stack {settings.stack}")


def _web_config(settings: Settings) -> Finding:
    from asyncnic.web.security import load_web_config, tls_context

    what = (
        f"--web-config {settings.web_config}" if settings.web_config else "--web-config: none, plain HTTP for everyone"
    )
    try:
        config = load_web_config(settings.web_config, settings.origin("web_config"))
        if config.tls_server_config is not None:
            tls_context(config.tls_server_config, settings.web_config, settings.origin("web_config"))
    except SettingsError as error:
        return Finding(what, False, str(error), USAGE)
    return Finding(what)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
