import pytest

from ajpd.explain.question import BadQuestion, Question, question_of


@pytest.mark.parametrize(
    ("url", "target", "host", "is_ssl"),
    [
        ("/a?b", b"/a?b", b"localhost", False),
        ("http://x.example", b"/", b"x.example", False),
        ("http://x.example?q", b"/?q", b"x.example", False),
        ("HTTPS://x.example:8443/a//b/../c;d?e?f", b"/a//b/../c;d?e?f", b"x.example:8443", True),
        ("http://[::1]:80/a", b"/a", b"[::1]:80", False),
        ("/a#b?c", b"/a", b"localhost", False),
        ("http://me:pw@x.example/a", b"/a", b"x.example", False),
        ("/sp ce/ü\t", b"/sp%20ce/%C3%BC%09", b"localhost", False),
        ('/a\\b|"<>%zz', b'/a\\b|"<>%zz', b"localhost", False),
        ("http://bücher.example:81/", b"/", b"xn--bcher-kva.example:81", False),
    ],
)
def test_urls(url: str, target: bytes, host: bytes, is_ssl: bool) -> None:
    found = question_of(url)
    assert (found.target, found.host, found.is_ssl) == (target, host, is_ssl)


def test_what_is_not_as_it_was_typed_is_said() -> None:
    found = question_of("http://me:pw@bücher.example/ü#top")
    assert found.remarks == (
        "me@ is for the browser, and is not sent",
        "browsers ask for xn--bcher-kva.example",
        "#top is for the browser, and is not sent",
        "sent as /%C3%BC",
    )
    assert "pw" not in str(found)
    assert found.is_named
    assert not question_of("/").is_named
    assert question_of("/", ["Host: h"]).is_named


def test_the_head_is_a_request() -> None:
    found = question_of("/a?b", ["Cookie:  x=1; y ", "host: h.example", "X-Empty:"], "PUT")
    assert found.head == (
        b"PUT /a?b HTTP/1.1\r\nHost: h.example\r\nCookie: x=1; y\r\nX-Empty: \r\n\r\n"
    )
    assert found.url == "http://h.example/a?b"
    assert found.remarks == ()
    assert Question(method="GET", target=b"/a?b", host=b"h").path == b"/a"


@pytest.mark.parametrize(
    ("url", "headers", "method", "why"),
    [
        ("www.example.org/a", [], "GET", "begins with neither"),
        ("ftp://x/", [], "GET", "ftp:// is not spoken here"),
        ("http:///a", [], "GET", "names no host"),
        ("http://ü..example/", [], "GET", "is no name of a host"),
        ("/", ["no colon"], "GET", "is no header such as"),
        ("/", ["Name : v"], "GET", "is no header such as"),
        ("/", ["A: b\r\nC: d"], "GET", "is no header such as"),
        ("/", ["Host: a", "host: b"], "GET", "one Host only"),
        ("/", [], "GE T", "is no method"),
        ("/", [], "", "is no method"),
    ],
)
def test_what_is_no_request(url: str, headers: list[str], method: str, why: str) -> None:
    with pytest.raises(BadQuestion, match=why):
        question_of(url, headers, method)
