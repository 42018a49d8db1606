"""A TCP honeypot on asyncio's streams: every address of a prefix greets, listens to one line, and says who was there.

    ip route add 198.51.0.0/16 via 192.0.2.2
    asyncnic run --address 192.0.2.2/24 --address 198.51.0.0/16 --any --service tcp:honeypot:trap:23

from this folder.

One line of JSON a visit on standard output. The limits of --tcp-connections and its kin bound what visitors can cost.
"""

import asyncio
import json

PATIENCE = 30.0
"""Seconds that a visitor may take for his line."""
LONGEST = 1024


async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One visitor."""
    local, peer = (writer.get_extra_info(name)[:2] for name in ("sockname", "peername"))
    said = b""
    try:
        writer.write(f"\r\n{local[0]} login: ".encode())
        async with asyncio.timeout(PATIENCE):
            said = await reader.readline()
    except (TimeoutError, ValueError, OSError):  # too slow, too long, gone
        pass
    print(json.dumps({"local": local, "peer": peer, "said": said.decode("ascii", "backslashreplace")}), flush=True)
    writer.close()


def trap() -> asyncio.StreamReaderProtocol:
    """The protocol of one connection."""
    return asyncio.StreamReaderProtocol(asyncio.StreamReader(LONGEST), visit)
