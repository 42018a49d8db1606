"""Make the TAP beforehand, with the privilege that the service then does not need.

    maketap.py NAME --owner UID [--host-address 192.0.2.1/24]... [--hold [--tell FILE]]

For an init container, or (--hold) for a container that keeps the network namespace which the service joins. This is not
part of the service and serves nothing: after the TAP is there it gives up its privilege, then ends or sleeps.
"""

import argparse
import ipaddress
import os
import signal
import sys
from pathlib import Path

from pyroute2 import IPRoute, NetlinkError


def make_tap(name: str, owner: int, host_addresses: list[str], mtu: int) -> None:
    """Bring the persistent TAP `name` about: owned by user `owner`, up, with these addresses. One that exists is kept.

    Raises:
        NetlinkError, OSError: the kernel refused; the privilege (CAP_NET_ADMIN) or /dev/net/tun is missing.
    """
    with IPRoute() as netlink:
        if not netlink.link_lookup(ifname=name):
            netlink.link("add", ifname=name, kind="tuntap", mode="tap", uid=owner)
        index = netlink.link_lookup(ifname=name)[0]
        netlink.link("set", index=index, mtu=mtu, state="up")
        for text in host_addresses:
            interface = ipaddress.ip_interface(text)
            netlink.addr("replace", index=index, address=str(interface.ip), prefixlen=interface.network.prefixlen)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the TAP beforehand.")
    parser.add_argument("name")
    parser.add_argument("--owner", type=int, default=65532, metavar="UID", help="who may open it (default %(default)s)")
    parser.add_argument("--host-address", action="append", default=[], metavar="ADDRESS/PREFIX")
    parser.add_argument("--mtu", type=int, default=1500)
    parser.add_argument("--hold", action="store_true", help="stay, so that the network namespace stays")
    parser.add_argument("--tell", metavar="FILE", help="write there which namespace that is, for healthcheck.py")
    options = parser.parse_args()
    if options.hold:
        # As process 1 a signal without a handler is ignored: take it in sigwait, from the very start.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        make_tap(options.name, options.owner, options.host_address, options.mtu)
        if options.tell:
            Path(options.tell).write_text(os.readlink("/proc/self/ns/net"))
        if options.hold and os.geteuid() == 0:
            os.setresgid(options.owner, options.owner, options.owner)
            os.setresuid(options.owner, options.owner, options.owner)
    except (NetlinkError, OSError, ValueError) as error:
        needs = "CAP_NET_ADMIN and the device /dev/net/tun" + ("; SETUID and SETGID to hold" if options.hold else "")
        print(f"{options.name}: {error} (needs {needs})", file=sys.stderr)
        return 3
    if options.hold:
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


if __name__ == "__main__":
    sys.exit(main())
