"""asyncnic: a user-space PCnet32 NIC driver and packet service that says where every frame went.

The public names are imported when they are first used: a command that talks to a service needs no event loop, and
whoever wants a version waits for nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncnic.errors import DeviceError, DeviceLost, PrivilegeError
    from asyncnic.nic.burst import Burst
    from asyncnic.nic.ledger import Ledger
    from asyncnic.nic.nic import Nic
    from asyncnic.nic.opening import open_nic
    from asyncnic.settings.knobs import Knobs

__all__ = ["Burst", "DeviceError", "DeviceLost", "Knobs", "Ledger", "Nic", "PrivilegeError", "open_nic"]

_HOMES = {
    "Burst": "asyncnic.nic.burst",
    "DeviceError": "asyncnic.errors",
    "DeviceLost": "asyncnic.errors",
    "Knobs": "asyncnic.settings.knobs",
    "Ledger": "asyncnic.nic.ledger",
    "Nic": "asyncnic.nic.nic",
    "PrivilegeError": "asyncnic.errors",
    "open_nic": "asyncnic.nic.opening",
}
"""Public name to the module it lives in."""


def __getattr__(name: str) -> object:
    """Import a public name at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
