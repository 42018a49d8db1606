"""Answers pings and who-has on a TAP of its own: the whole of a stack in one function, on the burst itself.

python ping.py tap:ping0 192.0.2.2 192.0.2.1/24
"""

import asyncio
import ipaddress
import sys

import asyncnic


async def answer(device: str, address: str, host_address: str) -> None:
    """Answer for `address` until the device is closed."""
    mine = ipaddress.IPv4Address(address).packed
    async with asyncnic.open_nic(device, host_address=host_address) as nic:
        print("ready", flush=True)
        async for burst in nic:
            for frame in burst:
                reply = bytearray(frame)
                reply[0:12] = frame[6:12].tobytes() + nic.mac
                if reply[12:14] == b"\x08\x06" and reply[38:42] == mine:
                    reply[20:42] = b"\0\2" + nic.mac + mine + frame[22:32]
                    nic.send(reply)
                elif reply[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 8 and reply[30:34] == mine:
                    reply[26:34] = mine + frame[26:30].tobytes()
                    # A reply differs in its type alone: the sum loses 0x0800, the checksum gains it.
                    checksum = int.from_bytes(frame[36:38], "big") + 0x0800
                    reply[34], reply[36:38] = 0, (checksum % 0xFFFF or 0xFFFF).to_bytes(2, "big")
                    nic.send(reply)


if __name__ == "__main__":
    asyncio.run(answer(*sys.argv[1:]))
