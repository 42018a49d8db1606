"""An address that the kernel keeps, shared with it: who has which port, and what the stack on top has to know.

The kernel goes on answering ARP, neighbour discovery and ICMP, and has every port but ours. A port of ours is reserved
by a shadow socket: it has the port, so that nobody else gets it and the kernel answers nothing, and takes nothing. This
is not a device and opens no ring: the device looks here for what its filter must let in, and tells what has changed.
"""

import errno
import socket
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Interface

from asyncnic.linux import packet

Interface = IPv4Interface | IPv6Interface

UNKNOWN_MAC = bytes(6)
"""The destination of a frame whose packet the kernel is to route: who its neighbours are is for it to know."""
_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
_IPPROTO_RAW, _IPV6_HDRINCL = 255, 36


class SharedHost:
    """What device, stack and kernel share.

    Attributes:
        addresses: that the interface has and that may be used; the device keeps them true.
        mtu: of the interface, in octets.
        on_change: called when `addresses` or `mtu` have changed.
        on_ports: called when `ports` have.
    """

    def __init__(self) -> None:
        self.addresses: tuple[Interface, ...] = ()
        self.mtu = 0
        self.on_change: Callable[[], None] | None = None
        self.on_ports: Callable[[], None] | None = None
        self._shadows: dict[tuple[str, int], list[socket.socket]] = {}
        self._claims: Counter[tuple[str, int]] = Counter()
        self._routes: dict[int, socket.socket] = {}

    def learn(self, addresses: tuple[Interface, ...], mtu: int) -> bool:
        """The interface has these now. True when that is news."""
        if (addresses, mtu) == (self.addresses, self.mtu):
            return False
        self.addresses, self.mtu = addresses, mtu
        if self.on_change is not None:
            self.on_change()
        return True

    # -- Ports --------------------------------------------------------------------------------------------------------

    def claim(self, kind: str, port: int) -> None:
        """Take a port ("udp" or "tcp") of every address from the kernel, in both families; as often as it is released.

        Raises:
            OSError: somebody else has it (EADDRINUSE), or it is not for this user (EACCES).
        """
        if (kind, port) in self._shadows:
            self._claims[kind, port] += 1
            return
        shadows: list[socket.socket] = []
        try:
            for family in (socket.AF_INET, socket.AF_INET6):
                try:
                    shadows.append(packet.open_shadow(family, _KINDS[kind], port))
                except OSError as error:
                    if family == socket.AF_INET or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                        raise
        except BaseException:
            for shadow in shadows:
                shadow.close()
            raise
        self._shadows[kind, port] = shadows
        self._claims[kind, port] = 1
        self._ports_changed()

    def release(self, kind: str, port: int) -> None:
        """Give a port back that was claimed."""
        self._claims[kind, port] -= 1
        if self._claims[kind, port] <= 0:
            shadows = self._shadows.pop((kind, port), [])
            self._ports_changed()
            for shadow in shadows:
                shadow.close()

    def ports(self, kind: str) -> list[int]:
        """The ports of this kind that are ours."""
        return [port for one, port in self._shadows if one == kind]

    def _ports_changed(self) -> None:
        if self.on_ports is not None:
            self.on_ports()

    # -- Packets whose next hop the kernel knows ----------------------------------------------------------------------

    def open_routes(self) -> None:
        """Open what `route` sends by, while there are privileges.

        Raises:
            OSError: CAP_NET_RAW is missing.
        """
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            try:
                sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _IPPROTO_RAW)
            except OSError as error:
                if version == 6 and error.errno == errno.EAFNOSUPPORT:
                    continue
                raise
            if version == 6:
                sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
            self._routes[version] = sock

    def route(self, frame: memoryview) -> bool:
        """Have the kernel send the IP packet in `frame`, by its routes and neighbours; False: it does not."""
        version = frame[14] >> 4
        sock = self._routes.get(version)
        if sock is None:
            return False
        if version == 4:
            target: tuple[str, int] = socket.inet_ntop(socket.AF_INET, frame[30:34]), 0
        else:
            target = socket.inet_ntop(socket.AF_INET6, frame[38:54]), 0
        try:
            sock.sendto(frame[14:], target)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self.on_change = self.on_ports = None
        for shadows in self._shadows.values():
            for shadow in shadows:
                shadow.close()
        self._shadows.clear()
        self._claims.clear()
        for sock in self._routes.values():
            sock.close()
        self._routes.clear()
