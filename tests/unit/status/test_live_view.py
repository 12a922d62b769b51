"""Those who have the page open: what each of them gets, and when."""

import asyncio

import pytest

from ajpd.status import live_view
from ajpd.status.live_view import LiveView, Readers
from tests.unit.support import until


class Pipe:
    """A client that takes what it gets, or does not."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.is_slow = self.is_ending = self.is_finished = False
        self.view: LiveView | None = None

    def push(self, data: bytes) -> None:
        self.got.append(data)

    def finish(self) -> None:
        self.is_finished = True
        assert self.view is not None
        self.view.end()

    def may_push(self) -> bool:
        return not self.is_slow

    def shall_finish(self) -> bool:
        return self.is_ending

    @property
    def views(self) -> list[bytes]:
        return [data for data in self.got if data.startswith(b"event: view")]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_view, "EVERY", 0.01)


def join(readers: Readers, made: list[str]) -> Pipe:
    pipe = Pipe()
    pipe.view = LiveView(readers, lambda: made[-1])
    pipe.view.begin(pipe)
    return pipe


async def test_everybody_gets_what_is_new_and_nothing_twice() -> None:
    readers, made = Readers(), ["<p>one\ntwo</p>"]
    pipes = [join(readers, made) for _ in range(3)]
    assert all(pipe.got[0] == b"retry: 10\n\n" for pipe in pipes)
    wanted = b"event: view\ndata: <p>one\ndata: two</p>\n\n"
    assert all(pipe.views == [wanted] for pipe in pipes)
    await until(lambda: all(b":\n\n" in pipe.got for pipe in pipes))
    assert all(pipe.views == [wanted] for pipe in pipes)
    made.append("<p>three</p>")
    await until(lambda: all(len(pipe.views) == 2 for pipe in pipes))


async def test_who_is_slow_gets_the_newest_when_he_can() -> None:
    readers, made = Readers(), ["a"]
    slow, quick = join(readers, made), join(readers, made)
    slow.is_slow = True
    for text in "bcd":
        made.append(text)
        await until(lambda text=text: quick.views[-1].endswith(f"{text}\n\n".encode()))
    slow.is_slow = False
    await until(lambda: len(slow.views) == 2)
    assert slow.views[-1] == b"event: view\ndata: d\n\n"


async def test_it_ends_with_the_process_and_with_its_reader() -> None:
    readers, made = Readers(), ["a"]
    one, other = join(readers, made), join(readers, made)
    one.is_ending = True
    await until(lambda: one.is_finished)
    assert other.view is not None
    other.view.end()
    got = len(other.got)
    made.append("b")
    await asyncio.sleep(0.05)
    assert len(other.got) == got
    # Nobody is there, and nothing is done any more.
    assert readers._timer is None


async def test_a_view_that_cannot_be_made_ends_its_stream(caplog: pytest.LogCaptureFixture) -> None:
    readers = Readers()
    pipe = Pipe()

    def fail() -> str:
        raise RuntimeError("as asked for")

    pipe.view = LiveView(readers, fail)
    pipe.view.begin(pipe)
    assert pipe.is_finished
    assert "as asked for" in caplog.text


async def test_there_is_room_for_so_many() -> None:
    readers, made = Readers(), ["a"]
    pipes = [join(readers, made) for _ in range(64)]
    assert readers.is_full
    assert pipes[0].view is not None
    pipes[0].view.end()
    assert not readers.is_full
    for pipe in pipes[1:]:
        assert pipe.view is not None
        pipe.view.end()
    await asyncio.sleep(0.02)
