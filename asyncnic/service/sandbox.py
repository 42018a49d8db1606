"""The sandbox: what the service leaves itself of the system once everything is open (`--sandbox`).

Capabilities, no_new_privs, seccomp and Landlock, in one step and for good, put together from the settings. It knows
what a service needs as long as it runs: reload, capture, workers, a device that goes and comes back. The thin calls are
`asyncnic.linux`'s; what a device needs, its backend says (`devices.backend.Needs`). Nothing here is a defence of the
kernel against a service that runs as root and keeps CAP_NET_ADMIN: `--sandbox on`, or a TAP made beforehand, is.
"""

import logging
import mimetypes
import os
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from asyncnic import devices
from asyncnic.devices.backend import Needs
from asyncnic.errors import Failed, SettingsError
from asyncnic.linux import landlock, seccomp
from asyncnic.linux.landlock import CHANGE, READ, USE, Allowed, Files
from asyncnic.linux.privileges import NET_ADMIN, capabilities, capability_name, drop_capabilities
from asyncnic.logs import fields
from asyncnic.service import control
from asyncnic.service.system_calls import BASE, NEVER, OF_BPF, OF_NODES, OF_PROCESSES
from asyncnic.settings.model import Settings
from asyncnic.settings.sinks import is_sink
from asyncnic.stacks.choice import STACKS

log = logging.getLogger(__name__)

_READ = (
    *("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/lib", "/lib64", "/proc", "/sys"),
    *(f"/etc/{name}" for name in ("ld.so.cache", "localtime", "machine-id", "nsswitch.conf", "passwd", "group")),
    *(f"/etc/{name}" for name in ("hosts", "resolv.conf", "host.conf", "gai.conf", "services", "protocols", "ssl")),
    *mimetypes.knownfiles,
)
"""What Python and the C library look at, besides modules."""
_NODES = ("/dev/null", "/dev/urandom", "/dev/random")
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What is in force.

    Attributes:
        capabilities: those that are left, by name; "all" where none was given up.
        no_new_privs, seccomp: whether.
        landlock: the version of the kernel's interface; 0: none.
        problem: why it is less than was asked for; empty: it is not.
    """

    capabilities: str = "all"
    no_new_privs: bool = False
    seccomp: bool = False
    landlock: int = 0
    problem: str = ""

    def as_json(self) -> dict[str, object]:
        """As JSON's types."""
        return {
            "capabilities": self.capabilities,
            "no_new_privs": self.no_new_privs,
            "seccomp": self.seccomp,
            "landlock": self.landlock,
        }


NONE = Sandbox()


def waived(settings: Settings) -> str:
    """Why `auto` puts no sandbox around what `settings` describe, in one line; empty: it does."""
    mine = [text for text in settings.service if ":" in text.rpartition(":")[0] and "://" not in text]
    if settings.stack not in STACKS:
        mine = [settings.stack]
    if mine:
        return f"{mine[0]} is not ours, and may need anything"
    return devices.parse(settings.device)[0].needs.problem


def obstacle(settings: Settings) -> str:
    """What of the sandbox cannot be had here, in one line; empty: it all can."""
    problem = devices.parse(settings.device)[0].needs.problem
    if problem:
        return problem
    missing = [seccomp.missing()] if seccomp.missing() else []
    if not landlock.version():
        missing.append("the kernel has no Landlock, or it is switched off: add it to lsm= of its command line")
    return "; ".join(missing)


def prepare(settings: Settings) -> None:
    """What must be before there is an event loop; nothing where there will be no sandbox.

    Raises:
        SettingsError: `--sandbox on` cannot be met here.
    """
    if settings.sandbox == "on" and (problem := obstacle(settings)):
        raise SettingsError(f"{settings.origin('sandbox')}: {problem}")
    if _wanted(settings) and not seccomp.missing():
        seccomp.deny(NEVER)


def enter(settings: Settings, files: Iterable[Path] = (), *, worker: bool = False) -> Sandbox:
    """Put the calling process into the sandbox that `settings` ask for, as far as the kernel has it.

    Call it while there is one thread, when all is open that needs more, and after `prepare`.

    Args:
        files: what a reload reads again; others of their folders may be read too, since files are replaced.
        worker: whether this process is one of several that have their queues from the service, and nothing to open.

    Raises:
        Failed: the kernel, or what is around this process already, refuses a part that `on` insists on.
    """
    backend, _ = devices.parse(settings.device)
    strict = settings.sandbox == "on"
    if not _wanted(settings):
        if backend.privileged:
            drop_capabilities()
            return replace(NONE, capabilities="none", no_new_privs=True)
        return NONE
    needs = Needs() if worker else _needs(settings)
    problems = [problem] if (problem := obstacle(settings)) else []
    version, filtered = 0, not seccomp.missing()

    def confine() -> None:
        nonlocal version
        version = landlock.restrict(_allowed(settings, needs, files, worker))

    def drop() -> None:
        drop_capabilities(() if strict or backend.privileged else needs.capabilities)

    def filter_calls() -> None:
        processes = settings.workers > 1 and not worker
        seccomp.restrict(_calls(needs, processes), families=_FAMILIES, processes=processes)

    for what, step in (("landlock", confine), ("capabilities", drop), *([("seccomp", filter_calls)] * filtered)):
        try:
            step()
        except OSError as error:
            if strict:
                raise Failed(f"{settings.origin('sandbox')}: {what}: {error.strerror or error}") from None
            problems.append(f"{what}: {error.strerror or error}")
            filtered = filtered and what != "seccomp"
    return Sandbox(names(capabilities()), True, filtered, version, "; ".join(problems))


def report(sandbox: Sandbox, settings: Settings) -> None:
    """Say in the log what is in force, and why it is no more."""
    if sandbox == NONE or not sandbox.no_new_privs:
        if settings.sandbox == "auto":
            log.info("no sandbox", extra=fields(reason=waived(settings)))
        return
    shown = {name: str(value).lower() for name, value in sandbox.as_json().items()}
    log.info("sandboxed", extra=fields(**shown))
    if sandbox.problem:
        log.warning("the sandbox is not whole", extra=fields(problem=sandbox.problem))


def names(bits: int) -> str:
    """Capabilities, a bit each, by their names; "none", or "all" where this module does not know them all."""
    numbers = [number for number in range(bits.bit_length()) if bits >> number & 1]
    try:
        return ",".join(capability_name(number) for number in numbers) or "none"
    except KeyError:
        return "all"


def _wanted(settings: Settings) -> bool:
    return settings.sandbox == "on" or (settings.sandbox == "auto" and not waived(settings))


def _calls(needs: Needs, processes: bool) -> set[str]:
    parts = ((True, BASE), (processes, OF_PROCESSES), (needs.makes_nodes, OF_NODES), (needs.bpf, OF_BPF))
    return {name for wanted, names_of_part in parts if wanted for name in names_of_part}


def _needs(settings: Settings) -> Needs:
    """What the device needs, and the stack."""
    needs = devices.parse(settings.device)[0].needs
    spec = STACKS.get(settings.stack)
    if spec is not None and spec.makes_interface:
        return replace(needs, capabilities=needs.capabilities | {NET_ADMIN}, nodes=(*needs.nodes, "/dev/net/tun"))
    return needs


def _allowed(settings: Settings, needs: Needs, files: Iterable[Path], worker: bool) -> Allowed:
    allowed = Allowed(abstract=os.environ.get("NOTIFY_SOCKET", "").startswith("@"), signals=settings.workers > 1)
    modules = [Path(entry or os.curdir) for entry in sys.path] + [Path(__file__).parents[2]]  # not always on sys.path
    allowed.allow(READ, Path(sys.prefix), Path(sys.base_prefix), *modules, *map(Path, _READ))
    allowed.allow(USE, *map(Path, _NODES))
    if any(is_sink(text) for text in settings.service):
        allowed.connect = None
    if worker:
        return allowed
    allowed.allow(USE | (Files.MAKE_CHAR | Files.REMOVE_FILE if needs.makes_nodes else 0), *map(Path, needs.nodes))
    allowed.allow(READ, *(file.resolve().parent for file in files), *(file.absolute().parent for file in files))
    socket_path = control.place(settings.control, settings.device, os.environ, os.geteuid())
    if socket_path is not None:
        allowed.allow(READ | Files.REMOVE_FILE, socket_path.absolute().parent)
    if settings.snapshot_dir:
        snapshots = Path(settings.snapshot_dir)
        with suppress(OSError):  # what is wrong with it, the recorder says when it writes
            snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)
        allowed.allow(CHANGE, snapshots)
    if needs.binds:
        allowed.bind = None
    if settings.workers > 1:
        libraries = (Path("/lib"), Path("/lib64"), Path("/usr/lib"))  # the loader is one, and is executed
        allowed.allow(Files.EXECUTE, Path(sys.executable).resolve(), *libraries)
    return allowed
