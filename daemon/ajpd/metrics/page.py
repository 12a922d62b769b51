"""What answers a scrape: who may ask, for what, and in which of the two formats.

The answer leaves in parts, and requests of clients are served between two of them: however many
members there are, nobody waits for a scrape.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from ajpd.config.model import MetricsConfig
from ajpd.http.forwarded import TrustedProxies
from ajpd.inside import Asked, Given, Pipe

from .samples import Scrape
from .text import OPENMETRICS, PLAIN, parts, render, wants_openmetrics

__all__ = ["MetricsPage"]

#: Bytes that are gathered before they are sent.
_MOST_BYTES: Final = 32768
#: Seconds until it is looked again whether a scraper that does not read reads on.
_PAUSE_S: Final = 0.05


class MetricsPage:
    """The page of metrics.

    Args:
        config: of it.
        look: gathers what an answer is made from.
    """

    def __init__(self, config: MetricsConfig, look: Callable[[], Scrape]) -> None:
        self._path = config.path.encode()
        self._allowed = TrustedProxies(config.allow)
        self._look = look

    def answer(self, asked: Asked) -> Given:
        """Answer a scrape, or say why not."""
        if not self._allowed.trusts(asked.remote_addr):
            text = f"{asked.remote_addr} may not fetch metrics; see allow in [metrics]\n"
            return Given(status=403, body=text.encode())
        if asked.path != self._path:
            return Given(status=404, body=b"metrics are at %s\n" % self._path)
        if asked.method not in ("GET", "HEAD"):
            return Given(status=405, headers=(("Allow", "GET, HEAD"),), body=b"GET, or HEAD\n")
        openmetrics = wants_openmetrics(asked.header(b"accept"))
        kind = OPENMETRICS if openmetrics else PLAIN
        vary = (("Vary", "Accept"),)
        scrape = self._look()
        if asked.method == "HEAD":
            body = render(scrape, openmetrics=openmetrics)
            return Given(content_type=kind, body=body, headers=vary)
        stream = _Parts(parts(scrape, openmetrics=openmetrics))
        return Given(content_type=kind, stream=stream, headers=vary)


class _Parts:
    """An answer on its way: something of it in each turn of the loop."""

    def __init__(self, left: Iterator[bytes]) -> None:
        self._left = left
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Handle | None = None

    def begin(self, pipe: Pipe) -> None:
        """The head has left."""
        self._next = self._loop.call_soon(self._go_on, pipe)

    def _go_on(self, pipe: Pipe) -> None:
        if not pipe.may_push():
            self._next = self._loop.call_later(_PAUSE_S, self._go_on, pipe)
            return
        gathered = b""
        for part in self._left:
            gathered += part
            if len(gathered) >= _MOST_BYTES:
                pipe.push(gathered)
                if self._next is not None:
                    self._next = self._loop.call_soon(self._go_on, pipe)
                return
        pipe.push(gathered)
        pipe.finish()

    def end(self) -> None:
        """It was all, or the scraper has gone."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
