"""Session ids and routes out of paths and cookies."""

import pytest

from ajp.lb import Session, find_session


@pytest.mark.parametrize(
    ("cookies", "ids"),
    [
        ([b"JSESSIONID=abc.n1"], [b"abc.n1"]),
        ([b"a=b; JSESSIONID=abc.n1; c=d"], [b"abc.n1"]),
        ([b"a=b;JSESSIONID=abc"], [b"abc"]),
        ([b"a=b,JSESSIONID=abc,c=d"], [b"abc"]),
        ([b"\tJSESSIONID \t=  abc.n1 ;c=d"], [b"abc.n1"]),
        ([b'JSESSIONID="abc.n1"'], [b"abc.n1"]),
        ([b'JSESSIONID=""abc""'], [b'"abc"']),
        ([b'JSESSIONID="abc'], [b'"abc']),
        ([b'JSESSIONID="'], [b'"']),
        # A browser sends one for each path that has one.
        ([b"JSESSIONID=a.n1; JSESSIONID=b.n2"], [b"a.n1", b"b.n2"]),
        ([b"JSESSIONID=a.n1", b"x=y; JSESSIONID=b.n2"], [b"a.n1", b"b.n2"]),
        ([b"JSESSIONID=a; JSESSIONID=a; JSESSIONID=b"], [b"a", b"b"]),
        ([b"JSESSIONID=; JSESSIONID=b"], [b"b"]),
        # The value of another cookie, even if it looks like one.
        ([b"x=JSESSIONID=abc; JSESSIONID=b"], [b"b"]),
        ([b"JSESSIONID=a=b.n1"], [b"a=b.n1"]),
    ],
)
def test_ids_of_cookies(cookies: list[bytes], ids: list[bytes]) -> None:
    found = find_session(b"/app", cookies)
    assert found is not None
    assert list(found.ids) == ids


@pytest.mark.parametrize(
    "cookie",
    [
        b"",
        b"JSESSIONID",
        b"JSESSIONID=",
        b'JSESSIONID=""',
        b"JSESSIONID= ",
        b"JSESSIONID; a=b",
        b"XJSESSIONID=abc",
        b"JSESSIONIDX=abc",
        b"JSESSIONID X=abc",
        b"jsessionid=abc",
        b"x=aJSESSIONID=abc",
    ],
)
def test_no_session_in_a_cookie(cookie: bytes) -> None:
    assert find_session(b"/app", [cookie]) is None
    assert find_session(b"/app", [cookie, cookie]) is None


def test_no_cookie_and_no_parameter() -> None:
    assert find_session(b"/app") is None


@pytest.mark.parametrize(
    ("path", "session_id"),
    [
        (b"/app;jsessionid=abc.n1", b"abc.n1"),
        (b"/app;jsessionid=abc.n1/page", b"abc.n1"),
        (b"/app/page;jsessionid=abc.n1?x=y", b"abc.n1"),
        (b"/app/page;jsessionid=abc.n1;v=1", b"abc.n1"),
        (b"/app;v=1;jsessionid=abc.n1", b"abc.n1"),
        (b"/app;jsessionid;jsessionid=abc", b"abc"),
        (b"/app;jsessionid=/page;jsessionid=abc", b"abc"),
        (b"/app;jsessionid=a;jsessionid=b", b"a"),
        (b"/app;jsessionid=a%2En1", b"a%2En1"),
    ],
)
def test_id_of_a_path(path: bytes, session_id: bytes) -> None:
    found = find_session(path, [b"JSESSIONID=cookie.n9"])
    assert found is not None
    assert found.ids == (session_id,)


@pytest.mark.parametrize(
    "path",
    [
        b"/app",
        b"/app;jsessionid",
        b"/app;jsessionid=",
        b"/app;jsessionid=/page",
        b"/app;JSESSIONID=abc",
        b"/jsessionid=abc",
        b"/app?x=;jsessionid=abc",
    ],
)
def test_path_without_an_id_leaves_the_cookie(path: bytes) -> None:
    found = find_session(path, [b"JSESSIONID=cookie.n9"])
    assert found is not None
    assert found.ids == (b"cookie.n9",)
    assert find_session(path) is None


def test_names_of_cookie_and_parameter() -> None:
    names = {"session_cookie": b"SID", "session_path": b";sid"}
    by_path = find_session(b"/a;sid=1.n1;jsessionid=2.n2", [b"SID=3.n3"], **names)
    assert by_path is not None
    assert by_path.routes == (b"n1",)
    by_cookie = find_session(b"/a;jsessionid=2.n2", [b"JSESSIONID=4; SID=3.n3"], **names)
    assert by_cookie is not None
    assert by_cookie.routes == (b"n3",)
    assert find_session(b"/a;=1", session_path=b"") is None


@pytest.mark.parametrize(
    ("session_id", "routes"),
    [
        (b"abc", ()),
        (b"abc.", ()),
        (b"abc.n1", (b"n1",)),
        (b".n1", (b"n1",)),
        (b"abc.domain.n1", (b"domain.n1",)),
        (b"abc.n1.", (b"n1.",)),
        (b"abc..n1", (b".n1",)),
    ],
)
def test_route_stands_behind_the_first_dot(session_id: bytes, routes: tuple[bytes, ...]) -> None:
    assert Session.of_id(session_id).routes == routes
    assert Session.of_ids([session_id]) == Session.of_id(session_id)


def test_ids_without_a_route_are_passed_over() -> None:
    found = Session.of_ids([b"a", b"", b"b.n2", b"c.n1"])
    assert found is not None
    assert found.routes == (b"n2", b"n1")
    assert Session.of_ids([b"", b""]) is None


def test_route_an_administrator_sets() -> None:
    assert Session.of_route(b"n1") == Session.of_id(b".n1")
    assert Session.of_route(b"").routes == ()
