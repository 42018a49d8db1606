"""The right to an interface among services of ours: one at a time, for as long as its process lives.

It is a name in the network namespace, held by an abstract Unix socket. It opens nothing of the interface, and says
nothing about other programs.
"""

import errno
import socket

from asyncnic.errors import DeviceError


class Claim:
    """The right to the interface `name` of this network namespace. It ends with the process, however that ends.

    The kernel gives each opener of a TAP or macvtap with several queues one of its own, and spreads the frames: two who
    do not know of each other would both lose some, and no error would say so. Asking first whether the interface is in
    use leaves a moment in which two may both be told that it is not.

    Raises:
        OSError: EADDRINUSE when another process has it.
    """

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.bind(f"\0asyncnic/wire/{name}")
        except BaseException:
            self._socket.close()
            raise

    def release(self) -> None:
        """Give it up. Idempotent."""
        self._socket.close()


def claim(device: str, interface: str) -> Claim:
    """Claim `interface` for `device`, which is named in the error.

    Raises:
        DeviceError: another process has it.
    """
    try:
        return Claim(interface)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise in_use(device) from None


def in_use(device: str) -> DeviceError:
    """What to raise when somebody else is attached to the interface of `device`."""
    return DeviceError(f"{device}: another process is attached to it: stop that one, or use another name")
