"""Who may talk to the console: a token where others can reach it, and only its own page everywhere.

On a loopback address no token is asked; instead the Host must be a loopback name, so that a foreign name that
resolves to 127.0.0.1 does not get in. In both cases a request that a browser makes for another site (Origin differs
from Host) is refused; for WebSockets the browser itself would let it through.
"""

import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

TOKEN_BYTES = 24
CONTENT_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws: wss:; frame-ancestors 'none'"
)
REFUSAL = "This console needs its token: open the address that console_node printed when it started.\n"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class Gate:
    """ASGI middleware around everything that is served. ``token`` None: loopback only."""

    def __init__(self, app, token: str | None, port: int):
        self._app, self._token = app, token
        self._cookie = f"prophrl_console_{port}"  # cookies know no ports

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        offered = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        if not self._same_site(headers):
            await _refuse(scope, send, 403, "This address belongs to another site.\n")
        elif self._token is None or self._matches([self._cookie_value(headers)]):
            await self._app(scope, receive, _with_policy(send))
        elif scope["type"] == "http" and self._matches(offered):
            await self._admit(scope, send)
        else:
            await _refuse(scope, send, 401, REFUSAL)

    def _matches(self, offered: Iterable[str]) -> bool:
        return any(hmac.compare_digest(value.encode(), self._token.encode()) for value in offered)

    def _same_site(self, headers: dict[str, str]) -> bool:
        host = headers.get("host", "")
        if self._token is None and not is_loopback(host.rsplit(":", 1)[0]):
            return False
        origin = headers.get("origin")
        return origin is None or origin.split("://", 1)[-1] == host

    def _cookie_value(self, headers: dict[str, str]) -> str:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return cookie.value if cookie else ""

    async def _admit(self, scope, send) -> None:
        """Keep the token in a cookie and out of the address."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        rest = urlencode({name: values for name, values in query.items() if name != "token"}, doseq=True)
        location = scope["path"] + (f"?{rest}" if rest else "")
        if location.startswith("//"):
            location = "/"
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        await _answer(send, 303, [("location", location), ("set-cookie", cookie)], "")


def _with_policy(send):
    async def sending(message) -> None:
        if message["type"] == "http.response.start":
            extra = [(b"content-security-policy", CONTENT_POLICY.encode()), (b"referrer-policy", b"no-referrer")]
            message = message | {"headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sending


async def _refuse(scope, send, status: int, line: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _answer(send, status, [("content-type", "text/plain; charset=utf-8")], line)


async def _answer(send, status: int, headers: list[tuple[str, str]], text: str) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": text.encode()})
