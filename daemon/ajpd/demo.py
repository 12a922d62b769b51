"""The demo application: what `ajpd demo` puts behind its front, and nothing else.

Every page says which container answered, so that one can watch balancing, stickiness and failover
without installing anything. Sessions live in the memory of their container and are not shared: when
it goes, they go. Fronts, balancers and configuration must not be added.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from typing import Final
from urllib.parse import parse_qs

from ajp import AttributeCode, ContainerRequest, Handler, Server, serve

__all__ = ["Containers", "demo_application", "serve_containers"]

MOST_SESSIONS: Final = 10_000
SESSION_COOKIE: Final = "JSESSIONID"
MOST_MS: Final = 600_000
MOST_LINES: Final = 1000

HTML: Final = "text/html; charset=utf-8"
PLAIN: Final = "text/plain; charset=utf-8"

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · {route}</title>
<style>
:root {{ color-scheme: light dark; --node: hsl({hue} 65% 42%); }}
body {{ font: 17px/1.55 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto;
  padding: 0 1rem; }}
h1 {{ font-weight: 650; letter-spacing: -.02em; margin: 1.5rem 0 .5rem; }}
a {{ color: var(--node); }}
.node {{ display: inline-block; background: var(--node); color: #fff; border-radius: 2rem;
  padding: .15rem .9rem; font-weight: 600; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .6rem 1.2rem; }}
dt {{ font-family: ui-monospace, monospace; }}
dd {{ margin: 0; opacity: .85; }}
.count {{ font-size: 5rem; font-weight: 700; line-height: 1; color: var(--node); margin: 1rem 0; }}
code, pre {{ font-family: ui-monospace, monospace; font-size: .9em; }}
small {{ opacity: .65; }}
</style>
</head>
<body>
<span class="node">{route}</span>
<h1>{title}</h1>
{body}
<p><small>Answered by container {route}, its request no. {number}.</small></p>
</body>
</html>
"""

_START: Final = """<p>This page came from a small container inside <code>ajpd demo</code>, over AJP.
{others}</p>
<dl>
<dt><a href="{at}/session">/session</a></dt><dd>a counter kept in this container's memory</dd>
<dt><a href="{at}/echo">/echo</a></dt><dd>upload something and get it back</dd>
<dt><a href="{at}/slow?ms=2000">/slow?ms=2000</a></dt><dd>an answer that takes its time</dd>
<dt><a href="{at}/stream?n=10&amp;ms=500">/stream?n=10&amp;ms=500</a></dt><dd>lines, one by one</dd>
<dt><a href="{at}/dump">/dump</a></dt><dd>the request as the container sees it</dd>
<dt><a href="{at}/nowhere">/nowhere</a></dt><dd>a page that is not there</dd>
</dl>
"""

_ECHO: Final = """<p>What is sent here by POST or PUT comes back while it still arrives.</p>
<form method="post" enctype="multipart/form-data">
<p><input type="file" name="file"> <button>Send</button></p>
</form>
<p><code>curl --data-binary @file http://…/echo</code></p>
"""


def demo_application(route: str, prefix: str = "", others: Sequence[str] = ()) -> Handler:
    """Make the application of one container.

    Args:
        route: name of the container; ends the session ids it hands out.
        prefix: path under which a front reaches it, without a slash at its end.
        others: prefixes of the other containers, for links to them.
    """
    return _Application(route, prefix, others)


@dataclass(slots=True)
class Containers:
    """Running demo containers.

    Attributes:
        secret: what every request to them must carry.
        servers: by route.
    """

    secret: str = field(repr=False)
    servers: dict[str, Server] = field(default_factory=dict)

    async def close(self, grace: float = 0.0) -> None:
        """Stop all of them; running requests get `grace` seconds."""
        await asyncio.gather(*(server.close(grace) for server in self.servers.values()))


async def serve_containers(n: int = 2, secret: str | None = None) -> Containers:
    """Start containers with the demo application on free ports of the loopback interface.

    Each serves its application under its own name as well as at the root: /nodeA/, /nodeB/, ...

    Args:
        n: how many; they are called nodeA, nodeB, ...
        secret: None for a random one.
    """
    containers = Containers(secret or secrets.token_urlsafe(24))
    routes = [f"node{chr(ord('A') + i)}" if i < 26 else f"node{i + 1}" for i in range(n)]
    try:
        for route in routes:
            others = [f"/{other}" for other in routes if other != route]
            containers.servers[route] = await serve(
                demo_application(route, f"/{route}", others),
                "127.0.0.1",
                0,
                secret=containers.secret,
            )
    except BaseException:
        await containers.close()
        raise
    return containers


class _Application:
    def __init__(self, route: str, prefix: str, others: Sequence[str]) -> None:
        self.route = route
        self._prefix = prefix
        self._others = others
        self._hue = sha256(route.encode()).digest()[0] * 360 // 256
        self._number = 0
        self._sessions: OrderedDict[str, int] = OrderedDict()
        self._pages: dict[bytes, Callable[[ContainerRequest], Awaitable[None]]] = {
            b"/": self._start,
            b"/session": self._session,
            b"/echo": self._echo,
            b"/slow": self._slow,
            b"/stream": self._stream,
            b"/dump": self._dump,
        }

    @property
    def _home(self) -> str:
        return f'<a href="{self._prefix}/">Start page</a>'

    async def __call__(self, request: ContainerRequest) -> None:
        self._number += 1
        # The container may add ;jsessionid=... to a path; it names no page.
        path = request.uri.partition(b";")[0].removeprefix(self._prefix.encode()) or b"/"
        page = self._pages.get(path, self._missing)
        await page(request)

    async def _start(self, request: ContainerRequest) -> None:
        links = ", ".join(f'<a href="{other}/">{other[1:]}</a>' for other in self._others)
        others = f"Other containers: {links}." if links else ""
        await self._show(request, "It works", _START.format(at=self._prefix, others=others))

    async def _missing(self, request: ContainerRequest) -> None:
        path = escape(request.uri.decode("utf-8", "replace"))
        body = f"<p>There is no <code>{path}</code> here. {self._home}</p>"
        await self._show(request, "Not found", body, status=404)

    async def _session(self, request: ContainerRequest) -> None:
        asked = _cookie(request)
        identity, _, route = asked.partition(".")
        is_known = identity in self._sessions
        if not is_known:
            identity = secrets.token_hex(16).upper()
        count = self._sessions[identity] = self._sessions.get(identity, 0) + 1
        self._sessions.move_to_end(identity)
        if len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        note = "Reload: the count goes on as long as your requests come here."
        if asked and not is_known:
            was = f"on {escape(route)}" if route and route != self.route else "here"
            note = f"You came with a session that was {was}; this container does not have it."
        body = (
            f'<div class="count">{count}</div><p>{note}</p>'
            f"<p><small>{SESSION_COOKIE} <code>{identity}.{escape(self.route)}</code></small></p>"
            f'<p><a href="{self._prefix}/session">Again</a> · {self._home}</p>'
        )
        cookie = f"{SESSION_COOKIE}={identity}.{self.route}; Path=/; HttpOnly; SameSite=Lax"
        await self._show(request, "Session", body, headers=[("Set-Cookie", cookie)])

    async def _echo(self, request: ContainerRequest) -> None:
        if request.method not in (b"POST", b"PUT"):
            await self._show(request, "Echo", _ECHO)
            return
        # Never as the type it came with: somebody else's page must not become one of ours.
        headers = self._headers(PLAIN)
        length = request.head.content_length
        if length is not None:
            headers.append(("Content-Length", str(length)))
        await request.send_headers(200, headers)
        async for chunk in request:
            await request.write(chunk)

    async def _slow(self, request: ContainerRequest) -> None:
        ms = _number(request, "ms", 1000, MOST_MS)
        started = time.monotonic()
        await asyncio.sleep(ms / 1000)
        took = round((time.monotonic() - started) * 1000)
        await self._say(request, f"{self.route} took {took} ms\n")

    async def _stream(self, request: ContainerRequest) -> None:
        lines, ms = _number(request, "n", 10, MOST_LINES), _number(request, "ms", 500, MOST_MS)
        is_events = b"text/event-stream" in (request.header("accept") or b"")
        await request.send_headers(200, self._headers("text/event-stream" if is_events else PLAIN))
        for i in range(1, lines + 1):
            line = f"line {i} of {lines} from {self.route} at {time.strftime('%H:%M:%S')}"
            text = f"data: {line}\n\n" if is_events else f"{line}\n"
            await request.write(text.encode())
            await request.flush()
            if i < lines:
                await asyncio.sleep(ms / 1000)

    async def _dump(self, request: ContainerRequest) -> None:
        head = request.head
        rows = [
            ("container", self.route),
            ("method", _text(head.method)),
            ("uri", _text(head.uri)),
            ("protocol", _text(head.protocol)),
            ("remote_addr", _text(head.remote_addr)),
            ("remote_host", _text(head.remote_host)),
            ("server_name", _text(head.server_name)),
            ("server_port", str(head.server_port)),
            ("is_ssl", str(head.is_ssl).lower()),
        ]
        rows += [(f"header {_text(name)}", _text(value)) for name, value in head.headers]
        for code, value, name in head.attributes:
            label = code.name.lower() if name is None else _text(name)
            shown = "(not shown)" if code is AttributeCode.SECRET else _text(value)
            rows.append((f"attribute {label}", shown))
        width = max(len(label) for label, _ in rows)
        await self._say(request, "".join(f"{label:{width}}  {text}\n" for label, text in rows))

    def _headers(self, content_type: str) -> list[tuple[str, str]]:
        return [
            ("Content-Type", content_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Container", self.route),
        ]

    async def _say(self, request: ContainerRequest, text: str) -> None:
        await request.respond(200, self._headers(PLAIN), text)

    async def _show(
        self,
        request: ContainerRequest,
        title: str,
        body: str,
        *,
        status: int = 200,
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        page = _PAGE.format(
            title=title, route=escape(self.route), hue=self._hue, number=self._number, body=body
        )
        policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"
        every = [*self._headers(HTML), ("Content-Security-Policy", policy)]
        await request.respond(status, [*every, *(headers or ())], page)


def _cookie(request: ContainerRequest) -> str:
    """Value of the session cookie; empty when there is none."""
    for header, value in request.headers:
        if header.lower() == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                name, _, text = pair.strip().partition("=")
                if name == SESSION_COOKIE:
                    return text
    return ""


def _number(request: ContainerRequest, name: str, default: int, most: int) -> int:
    """Whole number from the query, at most `most`; the default where there is none."""
    query = parse_qs((request.query or b"").decode("latin-1"))
    text = query.get(name, [""])[-1]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return default
    return min(int(text), most)


def _text(value: bytes | int | None) -> str:
    """Something from the wire, on one line."""
    if value is None:
        return "(null)"
    if isinstance(value, int):
        return str(value)
    return value.decode("utf-8", "replace").replace("\r", "\\r").replace("\n", "\\n")
