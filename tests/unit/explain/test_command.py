"""What `ajpd explain` prints, and how it ends."""

import json
from pathlib import Path

import pytest

from ajp.lb import Activation
from ajp.table import Table
from ajpd.cli import main
from ajpd.ledger import Ledger
from tests.unit.explain.stage import NODES, TOML, configuration
from tests.unit.pki import Authority

PORTS = {name: 18300 + number for number, name in enumerate(NODES)}


@pytest.fixture
def toml(tmp_path: Path) -> str:
    tmp_path.chmod(0o700)
    configuration(tmp_path, PORTS)
    return str(tmp_path / "ajpd.toml")


def test_a_request_with_a_session(toml: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = "http://www.example/app/late/x?q=1#top"
    assert main(["explain", "-c", toml, url, "-H", "Cookie: JSESSIONID=77.b"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    line = [text[:12] for text in TOML.splitlines()].index('"/app/late/*') + 1
    place = f"({toml}:{line})"
    for expected in (
        "GET http://www.example/app/late/x?q=1",
        "path     /app/late/x is compared with the rules",
        f"rules    -> /app/late/*=lb {place}: the first that matches",
        "         by the rule: use_server_errors=500, disabled=a, stopped=b",
        "         GET is sent to another member if the container fails before it answers",
        "session  77.b in the cookie JSESSIONID",
        "         b is the route of b",
        "members  as at a start",
        "sent     GET /app/late/x?q=1 to c at localhost:18302",
        "         attribute route=east",
        "remarks  #top is for the browser, and is not sent",
    ):
        assert expected in out.splitlines(), expected
    assert "the session lives here, but it is stopped by the rule" in out
    assert "it shares the domain of the session's member" in out
    assert "s3cret" not in out


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/nowhere", "answer   404 no_mapping: no rule matches"),
        ("/alone", "begins behind the slash: /alone|/* has both"),
        ("/Alone/x", "differs in upper and lower case"),
        ("/app/x.gif", "!/app/*.gif=lb"),
        ("/secret/x", "takes the rule back"),
        ("/off/x", "would match, and is switched off by its '-'"),
        ("/../x", "answer   400 bad_request: the path leads above the root"),
        ("http://both.example/app/x.gif", "matches, and takes back rules of lb only"),
        ("http://a.shop.example/no", "takes /*=alone back"),
        ("http://a.shop.example/app/x", "belongs to the rules for names that no host has"),
    ],
)
def test_why_a_rule_counts_or_does_not(
    toml: str, capsys: pytest.CaptureFixture[str], url: str, words: str
) -> None:
    code = main(["explain", "-c", toml, url])
    out = capsys.readouterr().out
    assert words in out
    assert code == (1 if "answer  " in out else 0)


def test_what_a_post_can_expect(toml: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-c", toml, "/app/x", "--method", "POST"]) == 0
    assert "POST is not sent to another member once its head has left" in capsys.readouterr().out
    assert main(["explain", "-c", toml, "/alone/x"]) == 0
    assert "GET is sent once more if the container fails" in capsys.readouterr().out


def test_sessions_that_lead_nowhere(toml: str, capsys: pytest.CaptureFixture[str]) -> None:
    for cookie, words in (
        ("JSESSIONID=1", "does not count: its id has no route"),
        ("JSESSIONID=1.tomcat9", "tomcat9 is nobody's route"),
        ("JSESSIONID=1.east", "east the domain of b, c"),
        ("jsessionid=1.a", "none: no cookie JSESSIONID and no path parameter ;jsessionid"),
    ):
        assert main(["explain", "-c", toml, "/app/x", "-H", f"Cookie: {cookie}"]) == 0
        assert words in capsys.readouterr().out
    free = ["explain", "-c", toml, "/app/free/x", "-H", "Cookie: JSESSIONID=1.a"]
    assert main(free) == 0
    assert "does not count: the rule says sticky_ignore" in capsys.readouterr().out


def test_a_client_that_is_trusted_is_believed(
    toml: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", "-c", toml, "/x", "-H", "X-Forwarded-Host: shop.example"]
    assert main(words) == 1
    assert "404" in capsys.readouterr().out
    assert main([*words, "--client", "10.1.2.3"]) == 0
    assert "shop.example (says a trusted proxy): [host.shop.example]" in capsys.readouterr().out


def test_a_page_of_our_own(toml: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-c", toml, "/jkstatus?cmd=update&w=lb", "--method", "POST"]) == 0
    out = capsys.readouterr().out
    assert "worker   jk, type status" in out
    assert "ajpd answers by itself, and asks no container" in out
    assert "sent  " not in out
    assert "no name was said: localhost is asked for" in out


def test_json(toml: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-c", toml, "/app/x", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["worker"]["name"] == "lb"
    assert found["member"] == "a"
    assert [member["is_chosen"] for member in found["members"]] == [True, False, False]
    assert found["rules"][0].keys() == {"text", "place", "standing", "why"}
    assert found["host"]["others"].keys() == {"shop.example", "both.example"}
    assert found["answer"] is None


@pytest.mark.parametrize(
    "words",
    [
        ["www.example"],
        ["/", "-H", "nothing"],
        ["/", "--client", "me"],
        ["/", "--table", "t.shm"],
    ],
)
def test_wrong_use(toml: str, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["explain", "-c", toml, *words]) == 2
    assert capsys.readouterr().err.startswith("ajpd explain: ")


def test_broken_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t").write_text("[worker.a]\nprot = 1\n")
    assert main(["explain", "-c", str(tmp_path / "t"), "/"]) == 1
    assert "did you mean 'port'" in capsys.readouterr().err


def test_nobody_who_could_be_asked(toml: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-c", toml, "/", "--live"]) == 1
    assert "no ajpd" in capsys.readouterr().err


def test_the_running_daemon_is_asked_and_not_changed(
    toml: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path, PORTS, TOML.replace('"a", "b", "c"', '"a", "b"'))
    table = Table.create(tmp_path / "t.shm", slots=32, columns=4)
    ledger = Ledger.enter(table, config, column=table.claim_process())
    ledger.settle(config)
    ledger.members["lb"][0].configure(activation=Activation.STOPPED)
    ledger.balancers["lb"].configure(sticky_session=0)
    configuration(tmp_path, PORTS)
    image = table.image()
    words = ["explain", "-c", toml, "/app/x", "--live", "--table", str(table.path)]
    assert main([*words, "-H", "Cookie: JSESSIONID=1.a"]) == 0
    out = capsys.readouterr().out
    assert "members  as the running daemon sees them" in out
    assert "it is stopped" in out
    assert "does not count: sticky_session is off" in out
    assert "the running daemon has no lb/c: as at a start; ajpd reload brings them in" in out
    assert table.image() == image


def written(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "t.toml").write_text(text)
    return ["explain", "-c", str(tmp_path / "t.toml")]


def test_one_worker_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = written(tmp_path, '[worker.w]\n[server]\nmax_body_bytes = "10"\n[mount]\n"/*" = "w"\n')
    assert main([*words, "/x"]) == 0
    out = capsys.readouterr().out
    assert "host     localhost: there are no rules for single hosts" in out
    assert "remarks" not in out
    assert main([*words, "/x", "--method", "PUT", "-H", "Content-Length: 11"]) == 1
    out = capsys.readouterr().out
    assert "answer   413 request_too_large: Request Entity Too Large" in out


def test_a_balancer_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '[worker.lb]\ntype = "lb"\nbalance_workers = ["w"]\n[worker.w]\n[mount]\n"/*" = "lb"\n'
    words = written(tmp_path, text)
    assert main([*words, "/x;jsessionid=1.q", "-H", "Cookie: JSESSIONID=2.w"]) == 0
    out = capsys.readouterr().out
    assert "does not count: the balancer has one member only" in out
    assert "the path parameter ;jsessionid hides the cookie JSESSIONID" in out
    assert "it is the only member" in out


def test_no_rule_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '[worker.w]\n[mount]\n"/a" = "w"\n[host."h.example"]\nmount = {}\n'
    assert main([*written(tmp_path, text), "http://h.example/x"]) == 1
    assert "answer   404 no_mapping: there is no rule" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pattern", "path", "why"),
    [
        ("/a", "/a/", "differs in the slash at its end"),
        ("/a", "/A", "differs in upper and lower case"),
        ("/a", "/ab", "the path is another"),
        ("/a", "/b", "the path is another"),
        ("/a/*", "/a", "begins behind the slash: /a|/* has both"),
        ("/a/*", "/b/c", "does not begin with /a/"),
        ("/a/*.jsp", "/a/b.html", "does not end in .jsp"),
        ("/a/*.?sp", "/a/b.html", "does not match"),
        ("/a/*b*c", "/a/c", "does not match"),
    ],
)
def test_near_misses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pattern: str, path: str, why: str
) -> None:
    words = written(tmp_path, f'[worker.w]\n[mount]\n"{pattern}" = "w"\n')
    assert main([*words, path]) == 1
    assert f"{pattern}=w ({tmp_path / 't.toml'}:3): {why}" in capsys.readouterr().out


def test_many_misses_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "".join(f'"/a{n:02}" = "w"\n' for n in range(15))
    assert main([*written(tmp_path, f"[worker.w]\n[mount]\n{rules}"), "/x"]) == 1
    out = capsys.readouterr().out
    assert "/a11=w" in out
    assert "/a12=w" not in out
    assert "3 more that do not match" in out


def test_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Authority().server(tmp_path, "www", "www.example")
    text = (
        f'[worker.w]\n[mount]\n"/*" = "w"\n[tls]\nlisten = ["127.0.0.1:0"]\n'
        f'certificate = "{tmp_path}/www.pem"\nkey = "{tmp_path}/www.key"\n'
    )
    assert main([*written(tmp_path, text), "https://h.example/x"]) == 0
    out = capsys.readouterr().out
    assert "which asked https://h.example:443" in out
    assert "a client's certificate, and what follows from one, is not looked at" in out


def test_lots_and_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """[worker.lb]
type = "lb"
balance_workers = ["a", "b"]
[worker.a]
port = 1
[worker.b]
port = 2
[mount]
"/*" = "lb"
"""
    assert main([*written(tmp_path, text), "/x"]) == 0
    out = capsys.readouterr().out
    assert "it could be any of a, b: whose turn it is differs from process to process" in out
    drawn = text.replace('"lb"\nbal', '"lb"\nmethod = "P2C"\nbal')
    assert main([*written(tmp_path, drawn), "/x"]) == 0
    out = capsys.readouterr().out
    assert "members are drawn by lot: another time it may be another one" in out
    assert "whose turn" not in out
