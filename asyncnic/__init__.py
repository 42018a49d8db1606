"""asyncnic: a user-space PCnet32 NIC driver and packet service that says where every frame went."""

from asyncnic.errors import DeviceError, DeviceLost, PrivilegeError
from asyncnic.nic.burst import Burst
from asyncnic.nic.ledger import Ledger
from asyncnic.nic.nic import Nic, open_nic
from asyncnic.settings.knobs import Knobs

__all__ = ["Burst", "DeviceError", "DeviceLost", "Knobs", "Ledger", "Nic", "PrivilegeError", "open_nic"]
