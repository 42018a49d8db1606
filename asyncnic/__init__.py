"""asyncnic: a user-space PCnet32 NIC driver and packet service that says where every frame went."""

from asyncnic.burst import Burst
from asyncnic.devices.device import DeviceError, DeviceLost, PrivilegeError
from asyncnic.knobs import Knobs
from asyncnic.ledger import Ledger
from asyncnic.nic import Nic, open_nic

__all__ = ["Burst", "DeviceError", "DeviceLost", "Knobs", "Ledger", "Nic", "PrivilegeError", "open_nic"]
