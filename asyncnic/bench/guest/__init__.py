"""The guest lab: Debian's kernel in an emulated PC, with a PCnet NIC, this Python and this package.

`Guest` boots one and runs commands in it. It is where the drivers meet a machine of their own: Linux's pcnet32, and
ours through UIO. It is for measurements and tests; the service knows nothing of it.
"""

from asyncnic.bench.guest.guest import Guest, GuestError, GuestResult
from asyncnic.bench.guest.image import Image, build_image

__all__ = ["Guest", "GuestError", "GuestResult", "Image", "build_image"]
