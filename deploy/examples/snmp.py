"""A thousand SNMP devices, or sixty thousand, in one process: each address of a prefix answers as a device of its own.

    ip route add 198.51.0.0/16 via 192.0.2.2
    asyncnic run --address 192.0.2.2/24 --address 198.51.0.0/16 --any --service snmp:Agent:161

from this folder.

sysName and sysUpTime differ by address; nothing is kept for any. Needs pysnmp, for its messages alone. It answers
SNMPv2c GET of whoever says "public".
"""

import asyncio
import time
from typing import Any

from pyasn1.codec.ber import decoder, encoder
from pyasn1.error import PyAsn1Error
from pysnmp.proto import api
from pysnmp.proto.error import ProtocolError

V2C = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
DESCRIPTION, UP_TIME, NAME = ((1, 3, 6, 1, 2, 1, 1, leaf, 0) for leaf in (1, 3, 5))


class Agent(asyncio.DatagramProtocol):
    """All devices at once: `addr.local` says which one was asked."""

    def connection_made(self, transport: Any) -> None:
        """Answers go out where questions come in."""
        self._transport = transport
        self._started = time.monotonic()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """One question."""
        try:
            question, _ = decoder.decode(data, asn1Spec=V2C.Message())
            pdu = V2C.apiMessage.get_pdu(question)
            if V2C.apiMessage.get_community(question) != b"public" or not pdu.isSameTypeWith(V2C.GetRequestPDU()):
                return
            answer = V2C.apiMessage.get_response(question)
            filled = V2C.apiMessage.get_pdu(answer)
            V2C.apiPDU.set_varbinds(
                filled, [self._bind(name, addr.local[0]) for name, _ in V2C.apiPDU.get_varbinds(pdu)]
            )
        except (PyAsn1Error, ProtocolError):
            return  # whatever it was, it was no question
        self._transport.sendto(encoder.encode(answer), addr)

    def _bind(self, name: Any, device: str) -> tuple[Any, Any]:
        values = {
            DESCRIPTION: lambda: V2C.OctetString(f"simulated device {device}"),
            UP_TIME: lambda: V2C.TimeTicks(int(100 * (time.monotonic() - self._started)) + hash(device) % 1_000_000),
            NAME: lambda: V2C.OctetString("device-" + device.replace(".", "-").replace(":", "-")),
        }
        value = values.get(tuple(name))
        return name, value() if value else V2C.NoSuchObject()
