"""The preflight: what `asyncnic run` would miss on this machine, each with its fix. It changes nothing.

The device is looked at, never opened: attaching to a TAP would take it from its owner for a moment. What only opening
can tell (a chip that does not come up) is not checked.
"""

import os
import platform
import socket
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from asyncnic import devices
from asyncnic.devices.backend import DEVICE, PRIVILEGE, Finding
from asyncnic.devices.device import DeviceOptions
from asyncnic.devices.host import SharedHost
from asyncnic.errors import SettingsError
from asyncnic.hot import IMPLEMENTATION
from asyncnic.pcnet32.driver.driver import Layout
from asyncnic.service import control, sandbox
from asyncnic.service.engine import host_address, packet_options
from asyncnic.settings.load import load
from asyncnic.settings.model import Settings
from asyncnic.settings.sinks import is_sink, parse_sink
from asyncnic.settings.values import split_listen

FAILED, USAGE = 1, 2


def check(settings: Settings) -> list[Finding]:
    """Look at everything that `settings` need."""
    backend, argument = devices.parse(settings.device)
    findings = [_software(settings), Finding(f"packet path: {IMPLEMENTATION}")]
    options = _device_options(settings)
    findings += backend.check(argument, options)
    if options.packet.host is not None:
        findings += _ports(settings)
    return [
        *findings,
        _listen(settings),
        _control(settings),
        _stack(settings),
        _web_config(settings),
        _sandbox(settings),
    ]


def check_file(path: Path) -> None:
    """Look at a file of settings alone: at no variable, at nothing of this machine, at no code of the user's.

    Raises:
        SettingsError: in one line, what is wrong and where it is said.
    """
    from asyncnic.stacks.choice import STACKS, choose

    settings = load({}, {}, path)
    if settings.stack in STACKS:
        ours = tuple(text for text in settings.service if text.count(":") == 1)
        choose(settings.model_copy(update={"service": ours}))


def _device_options(settings: Settings) -> DeviceOptions:
    """What the device would be opened with."""
    return DeviceOptions(
        mac=bytes.fromhex(settings.mac.replace(":", "")) if settings.mac else None,
        mtu=settings.mtu,
        host_address=host_address(settings),
        memory_size=Layout.of(settings.rx_ring, settings.tx_ring).size,
        knobs=settings.knobs(),
        packet=packet_options(settings),
    )


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


def _ports(settings: Settings) -> list[Finding]:
    """Whether the services' ports can be taken from the kernel."""
    from asyncnic.stacks.inet.services import PortService, parse_service

    findings = []
    for text in settings.service:
        try:
            service = PortService(object, parse_sink(text).port) if is_sink(text) else parse_service(text)
        except ValueError:
            continue  # told with the stack
        kind, port, host = "tcp" if service.stream else "udp", service.port, SharedHost()
        what = f"{kind.upper()} port {port}: free"
        try:
            host.claim(kind, port)
            findings.append(Finding(what))
        except PermissionError:
            fix = f"CAP_NET_BIND_SERVICE, or sysctl net.ipv4.ip_unprivileged_port_start={port}"
            findings.append(Finding(what, False, fix, PRIVILEGE))
        except OSError as error:
            findings.append(Finding(what, False, f"{error.strerror}: stop who has it, or choose another", USAGE))
        finally:
            host.close()
    return findings


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


def _control(settings: Settings) -> Finding:
    path = control.place(settings.control, settings.device, os.environ, os.geteuid())
    if path is None:
        return Finding("--control: none")
    what, why = f"--control {path}", control.obstacle(path)
    # As in `run`: one that nobody asked for may be missing.
    return Finding(
        what, not why or settings.control == control.AUTO, f"{why}: choose another path" if why else "", FAILED
    )


def _stack(settings: Settings) -> Finding:
    from asyncnic.stacks.choice import choose

    try:
        choose(settings)
    except SettingsError as error:
        return Finding(f"--stack {settings.stack}", False, str(error), USAGE)
    return Finding(f"--stack {settings.stack}")


def _sandbox(settings: Settings) -> Finding:
    what = f"--sandbox {settings.sandbox}"
    if settings.sandbox == "off":
        return Finding(what)
    if settings.sandbox == "auto" and (reason := sandbox.waived(settings)):
        return Finding(f"{what}: none", fix=f"{reason}: --sandbox on")
    problem = sandbox.obstacle(settings)
    if not problem:
        return Finding(f"{what}: seccomp and Landlock")
    return Finding(what, settings.sandbox == "auto", problem, USAGE)


def _web_config(settings: Settings) -> Finding:
    from asyncnic.web.security import load_access

    what = (
        f"--web-config {settings.web_config}" if settings.web_config else "--web-config: none, plain HTTP for everyone"
    )
    try:
        load_access(settings.web_config, settings.origin("web_config"))
    except SettingsError as error:
        return Finding(what, False, str(error), USAGE)
    return Finding(what)
