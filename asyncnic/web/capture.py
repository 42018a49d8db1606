"""/api/v1/capture: copies of the frames as a pcapng stream, without ever slowing the frames themselves.

Frames are copied into a buffer of fixed size as the stack gets them; when the client does not keep up, copies are
dropped and counted in the capture. It is not a filter, and sees what the stack sees: received frames.
"""

import asyncio
import time
from collections import deque

from aiohttp import web

from asyncnic import pcapng
from asyncnic.nic.burst import Burst
from asyncnic.service.observed import NicView, Unwatchable
from asyncnic.version import build_info

BUFFER_FRAMES = 4096
MOST_CAPTURES = 4
"""How many may run at the same time: each costs a copy a frame and up to 8 MiB."""
LOOK_AT_CLIENT = 0.5
"""Seconds between looks at whether the client is still there while no frame comes."""


class CaptureBuffer:
    """Copies of frames between the nic and one client."""

    __slots__ = ("_lost", "arrived", "dropped", "frames", "seen")

    def __init__(self) -> None:
        self.frames: deque[tuple[int, bytes, int]] = deque()
        """Time in nanoseconds since 1970, frame, copies dropped just before it."""
        self.arrived = asyncio.Event()
        self.seen = 0
        self.dropped = 0
        self._lost = 0

    def add(self, burst: Burst, first: int) -> None:
        """Copy the frames of `burst` from number `first` on, as far as there is room."""
        now = time.time_ns()
        memory, frames = burst.memory, self.frames
        count = len(burst.offsets) - first
        room = min(count, BUFFER_FRAMES - len(frames))
        for at in range(first, first + room):
            offset = burst.offsets[at]
            frames.append((now, bytes(memory[offset : offset + burst.lengths[at]]), self._lost))
            self._lost = 0
        self.seen += count
        self.dropped += count - room
        self._lost += count - room
        if room:
            self.arrived.set()


class Captures:
    """The captures under way, at most `MOST_CAPTURES`. The nic is watched only while there are any."""

    def __init__(self, nic: NicView) -> None:
        self._nic = nic
        self._closing = False
        self._buffers: set[CaptureBuffer] = set()
        self._previous: dict[int, Burst] = {}

    def watch(self, burst: Burst) -> None:
        """Show `burst` to all captures, without the frames that the stack has seen and left in the burst before it."""
        memory = id(burst.memory.obj)
        previous = self._previous.get(memory)
        self._previous[memory] = burst
        first = 0
        if previous is not None and previous.taken:
            left = set(previous.offsets[previous.taken :])
            while first < len(burst.offsets) and burst.offsets[first] in left:
                first += 1
        for buffer in self._buffers:
            buffer.add(burst, first)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET ?count=N: N frames (all until the client goes, without it) as pcapng."""
        text = request.query.get("count", "0")
        if not text.isdecimal() or len(text) > 18:
            raise web.HTTPBadRequest(text=f"count={text[:40]!r}: must be a whole number\n")
        if len(self._buffers) >= MOST_CAPTURES:
            raise web.HTTPServiceUnavailable(text=f"{MOST_CAPTURES} captures are running: end one first\n")
        try:
            self._nic.watch(self.watch)
        except Unwatchable as error:
            raise web.HTTPNotImplemented(text=f"{error}\n") from None
        response = web.StreamResponse(headers={"Content-Type": "application/x-pcapng", "Cache-Control": "no-store"})
        buffer = CaptureBuffer()
        self._buffers.add(buffer)
        try:
            await response.prepare(request)
            await self._stream(request, response, buffer, int(text) or None)
        except ConnectionError:
            pass  # the client has seen enough
        finally:
            self._buffers.discard(buffer)
            if not self._buffers:
                self._nic.watch(None)
                self._previous.clear()
        return response

    def close(self) -> None:
        """End all captures with what they have."""
        self._closing = True
        for buffer in self._buffers:
            buffer.arrived.set()

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, buffer: CaptureBuffer, count: int | None
    ) -> None:
        application = f"asyncnic {build_info()['version']}"
        await response.write(pcapng.section_header(application) + pcapng.interface(self._nic.device.name))
        sent = 0
        while sent != count and not self._closing and await self._more(request, buffer):
            blocks: list[bytes] = []
            while buffer.frames and sent != count and len(blocks) < 64:
                time_ns, frame, dropped = buffer.frames.popleft()
                blocks.append(pcapng.packet(time_ns, frame, dropped))
                sent += 1
            await response.write(b"".join(blocks))
        await response.write(pcapng.statistics(time.time_ns(), buffer.seen, buffer.dropped))
        await response.write_eof()

    async def _more(self, request: web.Request, buffer: CaptureBuffer) -> bool:
        """Wait for frames; False once the client has gone."""
        while not buffer.frames and not self._closing:
            buffer.arrived.clear()
            try:
                async with asyncio.timeout(LOOK_AT_CLIENT):
                    await buffer.arrived.wait()
            except TimeoutError:
                if request.transport is None or request.transport.is_closing():
                    return False
        return True
