"""The HTTP side described for programs (OpenAPI 3.0): paths, what they take, and every answer that they can give.

It answers nothing: server.py does, and a test holds this to its routes and to what it answers. Who may come in at all
(401, 403, 503 for too many passwords) is the guard's and the same for every path.
"""

from typing import Any

from asyncnic.settings.knobs import KNOBS
from asyncnic.version import build_info

_TEXT, _JSON = "text/plain", "application/json"


def _answer(about: str, kind: str = _TEXT) -> dict[str, Any]:
    """An answer of one kind; what the text or the object has in it is the manual's to say."""
    schema = {"type": "string"} if kind == _TEXT else {}
    return {"description": about, "content": {kind: {"schema": schema}}}


_REFUSED = {
    "401": _answer("a user and a password are needed"),
    "403": _answer("not for you, or not here: the line says why"),
    "503": _answer("not now: the line says why"),
}


def _get(about: str, kind: str = _JSON, missing: str = "") -> dict[str, Any]:
    """GET of what is always there, or else `missing` says when it is not."""
    absent = {"404": _answer(missing)} if missing else {}
    return {"get": {"summary": about, "responses": {"200": _answer(about, kind), **absent, **_REFUSED}}}


def _reload(method: str) -> dict[str, Any]:
    answers = {"200": _answer("reloaded"), "500": _answer("the configuration is wrong, and nothing has changed")}
    return {method: {"summary": "read the configuration again", "responses": {**answers, **_REFUSED}}}


def description() -> dict[str, Any]:
    """The description, as JSON's types."""
    body = {
        "type": "object",
        "properties": {name: {"description": knob.text} for name, knob in KNOBS.items()},
        "example": {"rx_budget": 32},
    }
    tune = {
        "summary": "turn knobs while frames flow, all or none",
        "requestBody": {"required": True, "content": {_JSON: {"schema": body}}},
        "responses": {
            "200": _answer("what each was, and is", _JSON),
            "400": _answer("a knob or its value is wrong, and nothing has changed"),
            "500": _answer("the device does not take it"),
            **_REFUSED,
        },
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": "asyncnic", "version": str(build_info()["version"])},
        "paths": {
            "/metrics": _get("the metrics, as Prometheus takes them", _TEXT),
            "/-/healthy": _get("the service runs", _TEXT),
            "/-/ready": _get("frames are served", _TEXT),
            "/-/reload": {**_reload("post"), **_reload("put")},
            "/api/v1/stats": _get("all numbers of the service, the ledger first"),
            "/api/v1/settings": {**_get("the knobs as they stand"), "put": tune},
            "/api/v1/knobs": _get("the knobs that fields turn, with their choices"),
            "/api/v1/ring": _get("the descriptors, decoded"),
            "/api/v1/regs": _get("the chip's registers, decoded"),
            "/api/v1/sockets": _get("endpoints and connections"),
            "/api/v1/sources": _get("who sends the most", missing="nobody looks: the line says why"),
            "/api/v1/exporters": _get("what is missing of whose numbers", missing="nobody looks: the line says why"),
            "/api/v1/snapshot": _get("what the recorder holds, as a tar", "application/x-tar"),
            "/api/v1/capture": _get("frames as they come, as pcapng", "application/octet-stream"),
            "/api/v1/openapi.json": _get("this description"),
        },
    }
