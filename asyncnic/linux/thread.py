"""What blocks, off the event loop, in a thread that ends with it.

`asyncio.to_thread` keeps its threads for the next call. A process with more than one thread pays for that at every
system call on a file, since the kernel then guards its table of descriptors (fdget), and receiving is one read(2) a
frame. What blocks here is rare: netlink requests at start and when a knob turns, password hashes.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Call `function` in a thread of its own; the thread has ended when this returns.

    Raises:
        Whatever `function` raises. When this is cancelled, `function` runs on to its end, and nobody hears of it.
    """
    thread = ThreadPoolExecutor(1)
    future = asyncio.wrap_future(thread.submit(function, *arguments, **named))
    try:
        return await future
    finally:
        thread.shutdown(wait=not future.cancelled())
