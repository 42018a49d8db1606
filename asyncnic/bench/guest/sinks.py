"""What counts inside the guest: receivers of UDP datagrams and of one TCP stream, on the kernel's sockets.

A script that needs nothing of the package, since importing takes seconds in the guest. It says "ready" when it
listens, and its count as one line of JSON when it is told to end (SIGTERM) or the stream has ended.
"""

import ctypes
import json
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

_BATCH = 64
_ROOM = 2048
_MSG_WAITFORONE = 0x10000


class _Iovec(ctypes.Structure):
    """struct iovec; a pointer of ctypes keeps alive what it points to, an address would not."""

    _fields_ = (("base", ctypes.POINTER(ctypes.c_char * _ROOM)), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.POINTER(_Iovec)),
        ("vector_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _Header), ("received", ctypes.c_uint))


def udp(port: int, *, batched: bool) -> dict[str, float]:
    """Count datagrams until SIGTERM: one by one as a Python program does, or by recvmmsg(2), which is C's pace."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("", port))
    # The kernel's own time-out: the signal is looked for now and then, and no datagram is lost between call and count.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 200_000))
    receive = _batches(listener) if batched else _singles(listener)
    received = 0
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    print("ready", flush=True)
    while not told:
        try:
            while True:
                received += receive()
        except BlockingIOError:
            continue
    return {"received": received}


def _singles(listener: socket.socket) -> Callable[[], int]:
    buffer = bytearray(_ROOM)
    receive_into = listener.recv_into

    def receive() -> int:
        receive_into(buffer)
        return 1

    return receive


def _batches(listener: socket.socket) -> Callable[[], int]:
    libc = ctypes.CDLL(None)
    room = ctypes.create_string_buffer(_ROOM)
    vector = _Iovec(ctypes.pointer(room), _ROOM)
    messages = (_Message * _BATCH)()
    for message in messages:
        message.header.vector, message.header.vector_length = ctypes.pointer(vector), 1
    descriptor = listener.fileno()

    def receive() -> int:
        count: int = libc.recvmmsg(descriptor, messages, _BATCH, _MSG_WAITFORONE, None)
        if count < 0:
            raise BlockingIOError
        return count

    return receive


def tcp(port: int) -> dict[str, float]:
    """Take one stream to its end: octets, seconds, and octets in the best whole second."""
    listener = socket.create_server(("", port))
    print("ready", flush=True)
    peer, _ = listener.accept()
    clock = time.monotonic
    buffer = bytearray(1 << 18)
    octets = second = best = 0
    start = mark = clock()
    while size := peer.recv_into(buffer):
        octets += size
        second += size
        now = clock()
        if now - mark >= 1.0:
            best = max(best, int(second / (now - mark)))
            mark, second = now, 0
    seconds = clock() - start
    peer.close()
    return {"octets": octets, "seconds": seconds, "best": best or octets / seconds}


def main() -> None:
    """``sinks.py udp|udp-batched|tcp PORT``."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a stream ends by itself
    kind, port = sys.argv[1], int(sys.argv[2])
    result = tcp(port) if kind == "tcp" else udp(port, batched=kind == "udp-batched")
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
