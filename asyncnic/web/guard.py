"""Who may do what over HTTP: from where a request comes, as whom, and what a browser must not be made to ask.

At the control socket everybody who can connect may do everything: its mode has decided. At --listen the web config says
who comes in; probes need no password; changes and captures need more. Web pages of others may ask for nothing: their
Origin gives them away, and names that only a resolver knows (DNS rebinding) are no names of this service.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from aiohttp import web

from asyncnic.settings.model import Settings
from asyncnic.settings.values import split_listen
from asyncnic.web.security import Access, LoginsBusy

PROBES = frozenset({"/-/healthy", "/-/ready"})
"""What a kubelet asks, which has no password."""


def at_control(request: web.BaseRequest) -> bool:
    """Whether the request came in by the control socket."""
    connection = request.get_extra_info("socket")
    return connection is not None and connection.family == socket.AF_UNIX


async def refused(request: web.BaseRequest, access: Access) -> web.Response | None:
    """The answer to somebody who is not let in; None: come in."""
    if at_control(request):
        return None
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("Host", "").lower():
        return web.Response(status=403, text="not for web pages of others: the Origin is not this service's\n")
    if request.path in PROBES:
        return None
    try:
        if await access.auth.allows(request.headers.get("Authorization")):
            return None
    except LoginsBusy:
        return web.Response(status=503, text="too many passwords at a time: try again\n", headers={"Retry-After": "1"})
    challenge = {"WWW-Authenticate": 'Basic realm="asyncnic"'}
    return web.Response(status=401, text="user and password needed\n", headers=challenge)


def may_change(request: web.BaseRequest, settings: Settings, access: Access) -> str:
    """Why the request may change nothing; empty: it may."""
    if at_control(request):
        return ""
    if not settings.enable_lifecycle:
        return "is off over HTTP: start with --enable-lifecycle, or use the control socket"
    # A browser that knows a password sends it to the name it got it for, and to no other.
    if not access.authenticates and not _is_ours(request.headers.get("Host", ""), settings):
        return "is for this service's own names: ask by its address, set a password, or use the control socket"
    return ""


def may_capture(request: web.BaseRequest, settings: Settings, access: Access) -> str:
    """Why the request may not see frames; empty: it may. Others' frames are more than any metric tells."""
    if at_control(request) or (settings.enable_lifecycle and access.authenticates):
        return ""
    return "is for the control socket, or for --enable-lifecycle with users or client certificates in --web-config"


def _is_ours(host: str, settings: Settings) -> bool:
    """Whether `host`, of the Host header, is no name that somebody else's resolver may lead here."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        ours = {"localhost", socket.gethostname().lower(), (split_listen(settings.listen)[0] or "").lower()}
        return name in ours - {""}
    return True
