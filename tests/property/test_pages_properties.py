"""Pages: whatever the words are, a whole response comes out, and words never become markup."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ajpd.http.pages import Pages, wants_json

DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
TEMPLATE = (
    "<p title=\"{{detail}}\" lang='{{reason}}'>{{status}} {{phrase}} {{words}} {{detail}}</p>"
    "<i>{{reason}}</i>"
)


class Markup(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    directory: Path = tmp_path_factory.mktemp("pages")
    (directory / "error.html").write_text(TEMPLATE)
    return Pages(str(directory))


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30) | st.text(
    "<>&\"'{}/;a", max_size=12
)
reasons = st.text("abc_", min_size=1, max_size=10)


def split(whole: bytes) -> tuple[bytes, bytes]:
    head, _, body = whole.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    return head, body


@given(st.integers(400, 599), reasons, texts)
def test_words_stay_words(own: Pages, status: int, reason: str, detail: str) -> None:
    _, body = split(own.page(status, reason, date_line=DATE, keep_alive=True, detail=detail))
    read = Markup()
    read.feed(body.decode())
    read.close()
    assert read.tags == [("p", [("title", detail), ("lang", reason)]), ("i", [])]
    assert read.text.endswith(f" {detail}{reason}")
    assert read.text.startswith(f"{status} ")


@given(st.integers(400, 599), reasons, texts)
def test_our_own_page_has_no_other_markup(status: int, reason: str, detail: str) -> None:
    pages = Pages(None)
    _, body = split(pages.page(status, reason, date_line=DATE, keep_alive=True, detail=detail))
    read = Markup()
    read.feed(body.decode())
    read.close()
    assert [tag for tag, _ in read.tags] == ["html", "title", "h1", "p", "p", "small"]
    assert detail.strip() in read.text


@given(
    st.integers(400, 599),
    reasons,
    st.text(max_size=30),
    st.booleans(),
    st.none() | st.integers(0, 10**6),
)
def test_json_says_the_same(
    status: int, reason: str, detail: str, keep_alive: bool, retry_after: int | None
) -> None:
    pages = Pages(None)
    whole = pages.page(
        *(status, reason),
        date_line=DATE,
        keep_alive=keep_alive,
        detail=detail,
        json=True,
        retry_after=retry_after,
    )
    head, body = split(whole)
    found = json.loads(body)
    assert found["status"] == status
    assert found["reason"] == reason
    assert found.get("detail", "").endswith(detail.strip())
    assert (b"Retry-After" in head) == (retry_after is not None)


weights = st.none() | st.integers(0, 1000)


def spelled(kind: bytes, weight: int | None) -> bytes:
    return kind if weight is None else b"%s;q=%d.%03d" % (kind, weight // 1000, weight % 1000)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"application/json", b"text/html", b"application/problem+json"])
            | st.sampled_from([b"*/*", b"text/plain", b"application/*"]),
            weights,
        ),
        max_size=6,
    ),
    st.sampled_from([b",", b", ", b" ,\t"]),
)
def test_wishes_are_weighed(ranges: list[tuple[bytes, int | None]], comma: bytes) -> None:
    best = {True: 0, False: 0}
    for kind, weight in ranges:
        if kind.endswith(b"json") or kind == b"text/html":
            is_json = kind != b"text/html"
            best[is_json] = max(best[is_json], 1000 if weight is None else weight)
    accept = comma.join(spelled(kind, weight) for kind, weight in ranges)
    assert wants_json(accept) == (best[True] > best[False])


@given(st.binary(max_size=60) | st.text('application/json;q=01.,*"', max_size=60).map(str.encode))
def test_any_accept_has_an_answer(accept: bytes) -> None:
    assert wants_json(accept) in (True, False)
