"""Sets the receive ring of an interface in the guest, as `ethtool -G NAME rx N` would: ``ring.py NAME N``.

A script that needs nothing of the package, since importing takes seconds in the guest.
"""

import fcntl
import socket
import struct
import sys
from array import array

SIOCETHTOOL = 0x8946
ETHTOOL_GRINGPARAM, ETHTOOL_SRINGPARAM = 0x10, 0x11
_COMMAND, _RX_PENDING = 0, 5  # words of struct ethtool_ringparam, which has nine (linux/ethtool.h)


def main() -> None:
    """Read the rings, set the one, leave the others.

    Raises:
        OSError: no such interface, or its driver refuses.
    """
    name, size = sys.argv[1], int(sys.argv[2])
    rings = array("I", bytes(36))
    request = struct.pack("@16sP", name.encode(), rings.buffer_info()[0]).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        rings[_COMMAND] = ETHTOOL_GRINGPARAM
        fcntl.ioctl(sock, SIOCETHTOOL, request)
        rings[_COMMAND], rings[_RX_PENDING] = ETHTOOL_SRINGPARAM, size
        fcntl.ioctl(sock, SIOCETHTOOL, request)
        rings[_COMMAND] = ETHTOOL_GRINGPARAM
        fcntl.ioctl(sock, SIOCETHTOOL, request)
    print(rings[_RX_PENDING])


if __name__ == "__main__":
    main()
