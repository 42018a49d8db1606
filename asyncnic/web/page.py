"""/: what is served here, for people who arrive with a browser."""

import html

from aiohttp import web

from asyncnic.web.observed import Observed

_LINKS = {
    "/metrics": "Prometheus metrics",
    "/-/healthy": "alive?",
    "/-/ready": "ready?",
    "/api/v1/stats": "every counter as JSON",
    "/api/v1/ring": "the descriptors, decoded",
    "/api/v1/regs": "the chip's registers, decoded",
    "/api/v1/capture?count=100": "the next 100 frames as pcapng",
}


def routes(observed: Observed) -> list[web.RouteDef]:
    """The landing page."""

    async def page(request: web.Request) -> web.Response:
        name = html.escape(observed.nic.device.name)
        items = "".join(f'<li><a href="{html.escape(path)}">{path}</a>: {text}</li>' for path, text in _LINKS.items())
        body = f"<!doctype html><html lang=en><meta charset=utf-8><title>asyncnic {name}</title>"
        body += f"<h1>asyncnic {name}</h1><ul>{items}</ul></html>\n"
        return web.Response(text=body, content_type="text/html")

    return [web.get("/", page)]
