"""A host stack for IPv4 and IPv6 on one link: ARP, neighbour discovery, ICMP, ICMPv6, UDP. No TCP and no routing."""

from asyncnic.stacks.inet.peer import Peer
from asyncnic.stacks.inet.skin import InetStack, StackNic
from asyncnic.stacks.inet.stack import Inet

__all__ = ["Inet", "InetStack", "Peer", "StackNic"]
