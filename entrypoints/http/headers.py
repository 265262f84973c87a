"""The headers that every answer carries, streams too: the request's id, and what browsers must not do with the answer."""

from typing import Final

from aiohttp import hdrs, web

from entrypoints.http.keys import ANSWER_BEGUN, REQUEST_ID, WORLD

SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Referrer-Policy": "no-referrer",
}
UNLESS_SET: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store, no-cache, must-revalidate",
}
SERVER: Final = "gateway"
"""Instead of aiohttp's, which names versions."""


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A signal, run just before an answer's head is sent."""
    request[ANSWER_BEGUN] = True
    headers = response.headers
    headers.update(SECURITY)
    for name, value in UNLESS_SET.items():
        headers.setdefault(name, value)
    headers[hdrs.SERVER] = SERVER
    headers["x-request-id"] = request_id(request)


def request_id(request: web.Request) -> str:
    """Ours, never the client's: it is the correlation id of what the request has recorded."""
    known = request.get(REQUEST_ID)
    if known is None:
        known = request[REQUEST_ID] = str(request.app[WORLD].clock.uuid7())
    return known
