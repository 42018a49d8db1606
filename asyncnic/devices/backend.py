"""What a backend says of itself, once: from this come the help and the check of `--device`, the preflight, and opening.

A backend's module (or its folder's `__init__`) has a `SPEC`, a `Backend`, which imports what is heavy only when it is
called; the table is in `asyncnic.devices`. Nothing here knows any one of them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from asyncnic.devices.device import Device, DeviceOptions

PRIVILEGE, DEVICE = 3, 4
"""Exit codes of `asyncnic run`: a privilege is missing; the device is absent or lost."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the preflight looked at: there, or missing with its fix. `code` is the exit code that its absence
    gives `run`.

    What is there can have a fix too, for more of it.
    """

    what: str
    ok: bool = True
    fix: str = ""
    code: int = 0

    def as_json(self) -> dict[str, object]:
        """The finding as JSON's types."""
        return asdict(self)


ONE_LANE = Finding("lanes: one", fix="only a TAP and a packet ring have more")
"""What is found of the lanes of a backend that is not `laned`."""


TAP_QUEUE_FULL = "tap_queue_full"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a device needs once it is open, to come back when it was lost and to turn its knobs: all that a sandbox
    leaves it.

    Attributes:
        capabilities: by number.
        nodes: paths to be opened for reading, writing and ioctl(2) again; a folder stands for all in it.
        makes_nodes: whether it makes device nodes there.
        bpf: whether it calls bpf(2).
        binds: whether it binds TCP ports of the kernel's.
        problem: why there can be no sandbox around it, in a few words; empty: there can.
    """

    capabilities: frozenset[int] = frozenset()
    nodes: tuple[str, ...] = ()
    makes_nodes: bool = False
    bpf: bool = False
    binds: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One kind of device: "NAME:ARGUMENT".

    Attributes:
        name: what stands before the colon.
        argument: what stands after it, for people.
        help: what that means, where `name` and `argument` do not say it; or empty.
        parse: the argument as it is opened; a ValueError's text completes the sentence "--device value: ...".
        check: what opening would miss, looked at without opening it; makes no change.
        open: opens it. Raises `DeviceError` (`PrivilegeError`).
        laned: whether there can be several lanes.
        shared: whether several workers can share it.
        privileged: whether it is opened with capabilities that must be given up when it is open, sandbox or not.
        rootless: how to run it as an ordinary user.
        needs: what it needs when it is open.
        overflow: the reason that frames are dropped for when the kernel's queue of the device is full.
    """

    name: str
    argument: str
    help: str = ""
    parse: Callable[[str], str]
    check: Callable[[str, DeviceOptions], Sequence[Finding]]
    open: Callable[[str, DeviceOptions], Awaitable[Device]]
    laned: bool = False
    shared: bool = False
    privileged: bool = False
    overflow: str = TAP_QUEUE_FULL
    rootless: str = "run as the owner of a TAP made beforehand: ip tuntap add NAME mode tap user USER"
    needs: Needs = Needs()

    @property
    def grammar(self) -> str:
        """How it is typed: "tap:NAME"."""
        return f"{self.name}:{self.argument}"
