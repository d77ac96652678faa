"""Who gets through the console's gate."""

import asyncio

import pytest
from prophrl_cell.console.access import Gate, is_loopback, new_token

TOKEN = new_token()


def ask(token, kind="http", host="127.0.0.1:8080", query="", **headers):
    """(status or close code, headers) of one request; 200 when it got through."""
    sent = []

    async def app(scope, receive, send):
        kind_of_answer = "http.response.start" if kind == "http" else "websocket.accept"
        await send({"type": kind_of_answer, "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    raw = [(b"host", host.encode())] + [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "path": "/", "query_string": query.encode(), "headers": raw}
    asyncio.run(Gate(app, token, 8080)(scope, None, send))
    first = sent[0]
    if first["type"] == "websocket.close":
        return first["code"], {}
    return first.get("status", 200), {k.decode(): v.decode() for k, v in first.get("headers", [])}


def test_loopback_needs_no_token_but_its_own_name():
    assert ask(None)[0] == 200
    assert ask(None, host="localhost:8080")[0] == 200 and ask(None, host="[::1]:8080")[0] == 200
    assert ask(None, host="evil.example:8080")[0] == 403, "a foreign name that resolves to loopback"


@pytest.mark.parametrize("token", [None, TOKEN])
def test_another_site_in_the_same_browser_is_refused(token):
    cookie = f"prophrl_console_8080={TOKEN}"
    for kind, refused in (("http", 403), ("websocket", 1008)):
        assert ask(token, kind, origin="http://evil.example", cookie=cookie)[0] == refused
        assert ask(token, kind, origin="http://127.0.0.1:9999", cookie=cookie)[0] == refused
        assert ask(token, kind, origin="http://127.0.0.1:8080", cookie=cookie)[0] == 200


def test_elsewhere_the_token_opens_once_and_the_cookie_afterwards():
    host = "cell.lab:8080"
    assert ask(TOKEN, host=host)[0] == 401
    assert ask(TOKEN, host=host, query="token=wrong")[0] == 401
    assert ask(TOKEN, "websocket", host=host)[0] == 1008
    assert ask(TOKEN, "websocket", host=host, query=f"token={TOKEN}")[0] == 1008, "a socket needs the cookie"
    status, headers = ask(TOKEN, host=host, query=f"a=1&token={TOKEN}")
    assert status == 303 and headers["location"] == "/?a=1"
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=Strict" in headers["set-cookie"]
    cookie = headers["set-cookie"].split(";")[0]
    assert ask(TOKEN, host=host, cookie=cookie)[0] == 200
    assert ask(TOKEN, "websocket", host=host, cookie=cookie)[0] == 200
    assert ask(TOKEN, host=host, cookie="prophrl_console_8080=x")[0] == 401
    assert ask(TOKEN, host=host, cookie="prophrl_console_8080=é")[0] == 401


def test_every_page_forbids_what_is_not_its_own():
    policy = ask(None)[1]["content-security-policy"]
    assert policy.startswith("default-src 'self'") and "frame-ancestors 'none'" in policy and "http" not in policy


def test_what_counts_as_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.1.2", "::", "cell.lab", "", "127.0.0.1.evil.example")))
