"""The MAC address of a station that was given none: derived, and the same after every start.

It is made of what stays: the machine's identity (machine-id(5)), where there is one, and the device's name. The host
name is not used: in a container it changes with every start. A container seldom has a machine-id, so there it is the
name alone; stations of several that share a link want a `--mac` each.
"""

import hashlib
from pathlib import Path

_MACHINE_ID = Path("/etc/machine-id")


def station_address(name: str, parent: bytes = b"") -> bytes:
    """A locally administered unicast address.

    Args:
        name: of the device.
        parent: MAC address of the interface that the station is on, if it is on one: that differs between machines.
    """
    try:
        machine = _MACHINE_ID.read_text().strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    digest = hashlib.sha256(f"{machine}/{name}/".encode() + parent).digest()
    return b"\x02" + digest[:5]
