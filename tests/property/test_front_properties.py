"""However the bytes of a client are cut, the container sees and the client gets the same."""

import asyncio
import itertools
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from ajpd._front import Front
from tests.faults.container import Connection, Container, Seen, read_body, whole
from tests.faults.stage import Stage, as_chunk, eventually, get, post, stage

DATE = (b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT")


async def echo(connection: Connection) -> None:
    """Answer with all that was seen, the same at any time."""
    head = connection.request
    await connection.write(whole(b"%s %s %s" % (head.method, head.uri, connection.body), 200, DATE))


class Transport:
    """A client's connection without a socket: keeps what is written, may be paused."""

    def __init__(self) -> None:
        self.written = b""
        self.is_paused = False
        self.is_closed = False

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 40000) if name.endswith("name") else None

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written += data

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nothing is written afterwards, but more may come."""

    def close(self) -> None:
        self.is_closed = True

    abort = close


names = st.sampled_from([b"X-One", b"Cookie", b"Accept", b"X-Long-Name-Of-A-Header"])
values = st.binary(max_size=12).map(lambda raw: raw.hex().encode())
lines = st.lists(st.builds(lambda n, v: n + b": " + v, names, values), max_size=3)
paths = st.sampled_from([b"/", b"/a", b"/a/b.html?c=d", b"/a/../b", b"/nowhere/x", b"/%zz"])
bodies = st.one_of(
    st.binary(max_size=40), st.integers(8000, 20_000).map(lambda size: b"\r\n0" * (size // 3))
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that is correct, or refused without an end of the connection."""
    path, more = draw(paths), draw(lines)
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    blank = b"\r\n" * draw(st.integers(0, 2))
    if kind == "none":
        return blank + get(path, *more, method=draw(st.sampled_from([b"GET", b"HEAD"])))
    body = draw(bodies)
    if kind == "length":
        return blank + post(body, path, *more)
    if path in (b"/nowhere/x", b"/%zz"):
        path = b"/"  # a refused upload of unknown length ends the connection
    # Not so many chunks that their extensions are refused for their sum.
    size = draw(st.integers(1 + len(body) // 100, 9000))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    extension = draw(st.sampled_from([b"", b";a=b", b";c"]))
    trailer = draw(st.sampled_from([b"", b"X-Trailer: y\r\n"]))
    chunks = b"".join(as_chunk(p).replace(b"\r\n", extension + b"\r\n", 1) for p in pieces)
    head = get(path, *more, b"Transfer-Encoding: chunked", method=b"POST")
    return blank + head + chunks + b"0\r\n" + trailer + b"\r\n"


async def play(s: Stage, pieces: list[bytes], *, until: int = 0) -> tuple[bytes, list[Seen]]:
    """Feed a front; returns what it wrote and what the container saw."""
    s.container.requests.clear()
    front, transport = Front(s.service), Transport()
    front.connection_made(transport)  # type: ignore[arg-type]
    for piece in pieces:
        await eventually(lambda: not transport.is_paused)
        front.data_received(piece)
        await asyncio.sleep(0)
    await eventually(
        lambda: (
            transport.is_closed or ("busy" not in repr(front) and len(transport.written) >= until)
        )
    )
    front.connection_lost(None)
    return transport.written, list(s.container.requests)


def facts(seen: list[Seen]) -> list[tuple[Any, ...]]:
    return [(each.head, each.body, each.is_whole) for each in seen]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_any_split_of_the_stream_means_the_same(factory: Any) -> None:
    @settings(max_examples=60, deadline=None)
    @given(
        stream=st.lists(requests(), min_size=1, max_size=4).map(b"".join),
        cuts=st.lists(st.floats(0, 1), max_size=12),
    )
    def prove(stream: bytes, cuts: list[float]) -> None:
        places = sorted({0, len(stream), *(int(cut * len(stream)) for cut in cuts)})
        pieces = [stream[a:b] for a, b in itertools.pairwise(places)]

        async def both() -> None:
            async with stage(Container([read_body, echo])) as s:
                written, seen = await play(s, [stream])
                again, seen_again = await play(s, pieces, until=len(written))
                assert without_dates(again) == without_dates(written)
                assert facts(seen_again) == facts(seen)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(both())

    prove()


def without_dates(data: bytes) -> bytes:
    """Our own pages say when they were made."""
    return b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"Date: "))


@pytest.mark.slow
def test_any_bytes_are_answered_or_refused() -> None:
    """Nothing a client sends raises, and whatever is written begins with a status line."""

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=30),
                st.sampled_from(
                    [
                        b"GET / HTTP/1.1\r\n",
                        b"POST /a HTTP/1.1\r\nHost: b\r\n",
                        b"Host: a\r\n",
                        b"Content-Length: 5\r\n",
                        b"Transfer-Encoding: chunked\r\n",
                        b"Connection: close\r\n",
                        b"Expect: 100-continue\r\n",
                        b"\r\n",
                        b"5\r\nhello\r\n",
                        b"0\r\n\r\n",
                        b" ",
                    ]
                ),
            ),
            max_size=12,
        )
    )
    def prove(pieces: list[bytes]) -> None:
        async def feed() -> None:
            async with stage(Container([read_body, echo])) as s:
                front, transport = Front(s.service), Transport()
                front.connection_made(transport)  # type: ignore[arg-type]
                for piece in pieces:
                    if transport.is_closed:
                        break
                    front.data_received(piece)
                    await asyncio.sleep(0)
                assert transport.written[:9] in (b"", b"HTTP/1.1 ")
                front.eof_received()
                front.connection_lost(None)

        with asyncio.Runner() as runner:
            runner.run(feed())

    prove()
