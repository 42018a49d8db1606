"""What the user wrote and the peer has not acknowledged: octets by position. It sends nothing.

Large writes are kept as they came, small ones are put together, so that a thousand writes of an octet cost little more
than one of a thousand.
"""

from bisect import bisect_right

from asyncnic.stacks.inet.tcp.sequence import Position

SMALL = 2048
_OPEN = 16384
OVERHEAD = 128


class SendBuffer:
    """Octets from `start` to `end`."""

    __slots__ = ("_chunks", "_head", "_starts", "end", "start")

    def __init__(self, start: Position) -> None:
        self.start = start
        self.end = start
        self._chunks: list[bytes | bytearray] = []
        self._starts: list[Position] = []
        self._head = 0

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def cost(self) -> int:
        """Octets of memory, objects included."""
        return self.end - self.start + OVERHEAD * (len(self._chunks) - self._head)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add `data` at the end; what is not immutable is copied."""
        size = len(data)
        if size < SMALL:
            last = self._chunks[-1] if self._chunks else None
            if isinstance(last, bytearray) and len(last) < _OPEN:
                last += data
            else:
                self._starts.append(self.end)
                self._chunks.append(bytearray(data))
        else:
            self._starts.append(self.end)
            self._chunks.append(data if isinstance(data, bytes) else bytes(data))
        self.end += size

    def view(self, place: Position, size: int) -> bytes | memoryview:
        """`size` octets from `place` on, all of which are there."""
        index = bisect_right(self._starts, place, self._head) - 1
        offset = place - self._starts[index]
        chunk = self._chunks[index]
        if offset + size <= len(chunk):
            if isinstance(chunk, bytearray):
                return bytes(chunk[offset : offset + size])
            return memoryview(chunk)[offset : offset + size]
        parts = [bytes(chunk[offset:])]
        size -= len(parts[0])
        while size:
            index += 1
            parts.append(bytes(self._chunks[index][:size]))
            size -= len(parts[-1])
        return b"".join(parts)

    def piece(self, place: Position, size: int) -> tuple[bytes, int, int]:
        """Octets from `place` on, up to `size`, as far as they lie in one object: that, where they begin in it, and how
        many they are.
        """
        index = bisect_right(self._starts, place, self._head) - 1
        offset = place - self._starts[index]
        chunk = self._chunks[index]
        size = min(size, len(chunk) - offset)
        if isinstance(chunk, bytearray):
            return bytes(chunk[offset : offset + size]), 0, size
        return chunk, offset, size

    def release(self, place: Position) -> None:
        """Everything below `place` was acknowledged."""
        self.start = place
        chunks, starts, head = self._chunks, self._starts, self._head
        while head < len(chunks) and starts[head] + len(chunks[head]) <= place:
            chunks[head] = b""
            head += 1
        if head == len(chunks):
            chunks.clear()
            starts.clear()
            head = 0
        elif head > 64:
            del chunks[:head]
            del starts[:head]
            head = 0
        self._head = head
