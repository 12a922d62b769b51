"""The status worker, asked without a daemon around it."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from ajp.errors import Reason
from ajp.lb import Activation, State
from ajp.lb._store import Record
from ajp.lb._tablestore import TableStore
from ajpd.config.errors import Place
from ajpd.config.model import PageConfig, StatusConfig
from ajpd.inside import Asked, Given
from ajpd.status.overview import Overview
from ajpd.status.page import StatusPage
from ajpd.status.token import is_token, token_for

from .stage import WORKERS, Daemon

TOKEN = re.compile(r'name="token" value="([0-9a-f]+)"')


class Site:
    """A status page and somebody who asks it."""

    def __init__(
        self,
        daemon: Daemon,
        access: PageConfig | None = None,
        **status: Any,
    ) -> None:
        self.daemon = daemon
        config = StatusConfig(name="status", place=Place("test"), **status)
        config_of_all = replace(daemon.config, statuses={"status": config})
        overview = Overview(daemon.table, config_of_all)
        self.page = StatusPage(config, access or PageConfig(), overview)

    def ask(self, query: str = "", method: str = "GET", **more: Any) -> Given:
        return self.page.answer(
            Asked(
                method=method,
                path=b"/jkstatus",
                query=query.encode() if query else None,
                server_name="www.example.org",
                server_port=8080,
                **{"remote_addr": "127.0.0.1", **more},
            )
        )

    def text(self, query: str = "", **more: Any) -> str:
        return self.ask(query, **more).body.decode()

    def token(self, **more: Any) -> str:
        return str(json.loads(self.ask("mime=json", **more).body)["token"])

    def post(self, query: str, fields: Mapping[str, str] | None = None, **more: Any) -> Given:
        form = {"token": self.token(**more), **(fields or {})}
        return self.ask(
            query,
            method="POST",
            body=urlencode(form).encode(),
            headers={b"content-type": (b"application/x-www-form-urlencoded",)},
            **more,
        )


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path)


def fail(daemon: Daemon) -> None:
    """Member nodeA of lb is in error."""
    members = [daemon.slots[f"lb/{name}"] for name in ("nodeA", "nodeB")]
    store = TableStore(daemon.slots["lb"], members, daemon.column)
    assert Record(store, 0).change_state(State.IDLE, State.ERROR)


@pytest.fixture
def site(daemon: Daemon) -> Site:
    return Site(daemon)


class TestWhoMayAsk:
    def test_who_is_not_allowed(self, site: Site) -> None:
        for form in ("html", "xml", "txt", "prop", "json"):
            answer = site.ask(f"mime={form}", remote_addr="192.0.2.1")
            assert answer.status == 403
            assert b"Access denied for 192.0.2.1" in answer.body
            assert b"nodeA" not in answer.body

    def test_a_wrong_question_tells_strangers_nothing(self, site: Site) -> None:
        assert site.ask("cmd=bogus", remote_addr="192.0.2.1").status == 403
        assert site.ask("events=1", remote_addr="192.0.2.1").status == 403

    def test_networks(self, daemon: Daemon) -> None:
        site = Site(daemon, PageConfig(allow=("192.0.2.0/24", "2001:db8::/32")))
        assert site.ask(remote_addr="192.0.2.9").status == 200
        assert site.ask(remote_addr="2001:db8::5").status == 200
        assert site.ask(remote_addr="127.0.0.1").status == 403

    def test_users(self, daemon: Daemon) -> None:
        site = Site(daemon, users=("Ann",))
        assert site.ask(remote_user="Ann").status == 200
        assert site.ask(remote_user="ann").status == 403
        assert b"there is none" in site.ask().body
        site = Site(daemon, users=("Ann",), user_case_insensitive=True)
        assert site.ask(remote_user="aNN").status == 200

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "BREW"])
    def test_methods(self, site: Site, method: str) -> None:
        answer = site.ask(method=method)
        assert answer.status == 405
        assert ("Allow", "GET, HEAD, POST") in answer.headers


class TestChanges:
    def test_a_get_changes_nothing(self, site: Site, daemon: Daemon) -> None:
        for query in ("cmd=update&w=lb&sw=nodeA&vwa=d", "cmd=reset&w=lb", "cmd=recover&w=lb"):
            answer = site.ask(f"{query}&mime=txt")
            assert answer.status == 403
            assert answer.body.startswith(b"Result: type=ERROR")
        assert daemon.slots["lb/nodeA"].activation == Activation.ACTIVE

    def test_nor_does_a_post_without_a_token(self, site: Site, daemon: Daemon) -> None:
        for token in ("", "0" * 32, site.token(remote_addr="127.0.0.2")):
            query = f"cmd=update&w=lb&sw=nodeA&vwa=d&mime=txt&token={token}"
            assert site.ask(query, method="POST").status == 403
        assert daemon.slots["lb/nodeA"].activation == Activation.ACTIVE

    def test_a_post_with_the_token_of_a_page(self, site: Site, daemon: Daemon) -> None:
        found = TOKEN.search(site.text())
        assert found is not None
        answer = site.ask(
            "cmd=update&w=lb&sw=nodeA&vwa=d",
            method="POST",
            body=f"token={found[1]}".encode(),
            headers={b"content-type": (b"application/x-www-form-urlencoded; charset=utf-8",)},
        )
        assert answer.status == 200
        assert b"lb/nodeA: active -&gt; disabled" in answer.body
        assert daemon.slots["lb/nodeA"].activation == Activation.DISABLED

    def test_a_post_with_the_token_in_a_header(self, site: Site, daemon: Daemon) -> None:
        headers = {b"x-ajpd-token": (site.token().encode(),)}
        site.ask("cmd=update&w=lb&sw=nodeA&vwa=s", method="POST", headers=headers)
        assert daemon.slots["lb/nodeA"].activation == Activation.STOPPED

    def test_by_get_where_that_is_allowed(self, daemon: Daemon) -> None:
        site = Site(daemon, PageConfig(allow=("0.0.0.0/0",), allow_get=True))
        query = "cmd=update&w=lb&sw=nodeA&vwa=d&mime=txt"
        assert site.ask(query, remote_addr="192.0.2.1").status == 403
        assert site.text(query) == 'Result: type=OK message="Action finished"\n'
        assert daemon.slots["lb/nodeA"].activation == Activation.DISABLED

    @pytest.mark.parametrize("how", ["status", "access", "opt"])
    def test_read_only(self, daemon: Daemon, how: str) -> None:
        access = PageConfig(allow_get=True, read_only=how == "access")
        site = Site(daemon, access, read_only=how == "status")
        opt = "&opt=32" if how == "opt" else ""
        for command in ("update", "reset", "recover", "edit"):
            text = site.text(f"cmd={command}&w=lb&mime=txt{opt}")
            assert "This command is not allowed in read only mode." in text
        assert "token" not in site.text(opt)
        # Who could change things, if he did not look at it this way, can go back.
        assert ("Let me change things" in site.text(opt.lstrip("&"))) is (how == "opt")
        assert "token" not in site.text(f"mime=json{opt}")

    def test_one_pattern_for_many(self, site: Site, daemon: Daemon) -> None:
        site.post("cmd=update&w=lb&sw=node*&vwf=7")
        assert [daemon.slots[f"lb/{name}"].config() for name in ("nodeA", "nodeB")] == [
            {"lbfactor": 7}
        ] * 2

    def test_one_attribute_for_all(self, site: Site, daemon: Daemon) -> None:
        answer = site.post("cmd=update&w=lb&att=vwf&val1=9&val7=3&mime=prop")
        assert answer.body.startswith(b"worker.result.type=OK")
        assert daemon.slots["lb/nodeA"].config() == {}
        assert daemon.slots["lb/nodeB"].config() == {"lbfactor": 9}

    @pytest.mark.parametrize(
        ("query", "slot", "config"),
        [
            ("w=lb&vls=0&vlt=7&vlm=b&vll=1", "lb", {"sticky_session": 0, "recover_time_ms": 7000}),
            ("w=lb&vls=false&vlf=on", "lb", {"sticky_session": 0, "sticky_session_force": 1}),
            ("w=lb&vlm=3", "lb", {"method": 3}),
            ("w=lb&sw=nodeA&vwn=b.two&vwd=4", "lb/nodeA", {"route": "b.two", "distance": 4}),
            ("w=lb&sw=nodeB&vwr=&vwc=x", "lb/nodeB", {"redirect": "", "domain": "x"}),
            ("w=lb&sw=nodeA&vahst=10.0.0.9&vaprt=99", "nodeA", {"host": "10.0.0.9", "port": 99}),
            ("w=alone&vart=77&vacpt=3", "alone", {"connection_pool_timeout_ms": 3000}),
            ("w=alone&vamps=9000", "alone", {"max_packet_size": 9216}),
        ],
    )
    def test_values(
        self, site: Site, daemon: Daemon, query: str, slot: str, config: dict[str, Any]
    ) -> None:
        assert site.post(f"cmd=update&{query}&mime=txt").body.startswith(b"Result: type=OK")
        assert config.items() <= daemon.slots[slot].config().items()

    @pytest.mark.parametrize(
        ("query", "why"),
        [
            ("w=lb&sw=nodeA&vwf=0", "vwf=0: lbfactor"),
            ("w=lb&sw=nodeA&vwa=x", "vwa=x:"),
            ("w=lb&vlm=Q", "vlm=Q:"),
            ("w=lb&vlr=none", "vlr=none: &#x27;none&#x27; is not a number"),
            ("w=lb&sw=nodeA&vwn=one%0d%0atwo", "cannot be in a cookie"),
            ("w=lb&sw=nodeB&vwn=a.one", "a.one"),
            ("w=lb&att=vahst&val0=x", "vahst"),
            ("w=alone&vaprt=99999", "port"),
            ("w=status&vlr=3", "status has nothing that could be changed"),
        ],
    )
    def test_values_that_cannot_be(self, site: Site, daemon: Daemon, query: str, why: str) -> None:
        before = {name: slot.config() for name, slot in daemon.slots.items()}
        text = site.post(f"cmd=update&{query}").body.decode()
        assert '<p class="said bad">Update failed: ' in text
        assert why in text
        assert {name: slot.config() for name, slot in daemon.slots.items()} == before

    def test_recover(self, site: Site, daemon: Daemon) -> None:
        def recover() -> str:
            return site.post("cmd=recover&w=lb&sw=nodeA&mime=txt").body.decode()

        assert recover() == 'Result: type=ERROR message="Marking worker for recovery failed"\n'
        fail(daemon)
        assert recover() == 'Result: type=OK message="Action finished"\n'
        assert daemon.slots["lb/nodeA"].snapshot().state == State.RECOVER

    def test_reset(self, site: Site, daemon: Daemon) -> None:
        daemon.column.finished(daemon.slots["nodeA"], status=200, duration_us=5)
        assert "elected=1" in site.text("mime=txt")
        site.post("cmd=reset&w=lb")
        assert "elected=1" not in site.text("mime=txt")

    @pytest.mark.parametrize(
        ("query", "text"),
        [
            ("cmd=show", "NULL or EMPTY worker param"),
            ("cmd=show&w=", "NULL or EMPTY worker param"),
            ("cmd=show&w=lb&sw=", "EMPTY sub worker param"),
            ("cmd=show&w=none", "Could not find given worker"),
            ("cmd=show&w=nodeA", "Could not find given worker"),
            ("cmd=show&w=alone&sw=x", "worker type has no sub workers"),
            ("cmd=show&w=lb&sw=x", "could not find sub worker"),
            ("cmd=show&w=lb&sw=node*", "wildcard not allowed in sub worker for this command"),
            ("cmd=nonsense", "Invalid command."),
        ],
    )
    def test_what_is_not_there(self, site: Site, query: str, text: str) -> None:
        answer = site.ask(f"{query}&mime=txt")
        assert answer.status == 200
        assert answer.body.decode() == f'Result: type=ERROR message="{text}"\n'


class TestForms:
    def test_xml_is_well_formed_whatever_is_in_it(self, site: Site, daemon: Daemon) -> None:
        site.post("cmd=update&w=lb&sw=nodeA&vwc=%26%22")
        answer = site.page.answer(
            Asked(
                method="GET",
                path=b"/",
                query=b"mime=xml",
                remote_addr="127.0.0.1",
                server_name='"><x>&',
            )
        )
        root = ElementTree.fromstring(answer.body)
        ns = "{http://tomcat.apache.org}"
        assert root.tag == f"{ns}status"
        assert root.find(f"{ns}server").attrib["name"] == '"><x>&'  # type: ignore[union-attr]
        names = [each.attrib["name"] for each in root.iter(f"{ns}member")]
        assert names == ["nodeA", "nodeB", "nodeB"]

    def test_names_of_its_own(self, daemon: Daemon) -> None:
        site = Site(daemon, prefix="jk", ns="", xmlns="", doctype="<!DOCTYPE status>")
        assert site.text("mime=prop").splitlines()[0] == "jk.server_name=www.example.org"
        lines = site.text("mime=xml&cmd=version").splitlines()
        assert lines[1:4] == ["<!DOCTYPE status>", "<status>", "<server"]

    @pytest.mark.parametrize(
        ("opt", "there"),
        [
            (0, {"Balancer Worker", "Member", "AJP Worker"}),
            (1, {"Balancer Worker", "AJP Worker"}),
            (8, {"AJP Worker"}),
            (16, {"Balancer Worker", "Member"}),
        ],
    )
    def test_parts_that_are_hidden(self, site: Site, opt: int, there: set[str]) -> None:
        lines = site.text(f"mime=txt&opt={opt}").splitlines()
        found = {line.partition(":")[0] for line in lines}
        assert (
            found
            - {"Server", "Time", "Software", "Result", "Map"}
            - {
                "Balancer Workers",
                "AJP Workers",
            }
            == there
        )

    def test_a_dump_without_secrets(self, site: Site) -> None:
        for form in ("html", "xml", "txt", "prop", "json"):
            text = site.text(f"cmd=dump&mime={form}")
            assert "top" not in re.findall(r"\w+", text)
        assert "worker.nodeA.route=a.one" in site.text("cmd=dump&mime=txt")
        found = json.loads(site.text("cmd=dump&mime=json"))
        assert found["properties"]["worker.lb.balance_workers"] == "nodeA,nodeB"

    def test_ratings(self, site: Site, daemon: Daemon) -> None:
        fail(daemon)
        site.post("cmd=update&w=lb&sw=nodeB&vwa=d")
        assert "good=0 degraded=1 bad=1" in site.text("cmd=show&w=lb&mime=txt")

    def test_json_has_everything(self, site: Site) -> None:
        found = json.loads(site.text("mime=json"))
        assert [each["name"] for each in found["balancers"]] == ["lb", "other"]
        assert found["result"] == {"type": "OK", "message": "Action finished"}
        assert found["server"] == {"name": "www.example.org", "port": 8080}


class TestForPeople:
    def test_it_runs_nothing_but_its_own_files(self, site: Site) -> None:
        answer = site.ask()
        policy = dict(answer.headers)["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        text = answer.body.decode()
        assert not re.search(r"<script(?! src=\"\?asset=page.js\")", text)
        assert not re.search(r" on\w+=| style=", text)
        assert site.ask("asset=page.js").content_type.startswith("text/javascript")
        assert site.ask("asset=page.css").content_type.startswith("text/css")

    def test_text_is_escaped(self, site: Site) -> None:
        bad = "<img/src=x>"
        for query in (f"w={bad}", f"cmd={bad}", f"cmd=show&w={bad}", f"cmd=show&w=lb&sw={bad}"):
            assert "<img" not in site.text(query)
        assert "<img" not in site.ask("", method=bad).body.decode()
        answer = site.page.answer(
            Asked(method="GET", path=b"/", remote_addr="127.0.0.1", server_name=bad)
        )
        assert b"<img" not in answer.body

    def test_errors_and_what_is_wrong(self, site: Site, daemon: Daemon) -> None:
        for slot in ("nodeA", "lb/nodeA", "front"):
            daemon.column.finished(
                daemon.slots[slot], status=502, duration_us=900, reason=Reason.CONNECT_REFUSED
            )
        fail(daemon)
        text = site.text()
        assert "<title>(1) ajpd on www.example.org:8080</title>" in text
        assert "connect_refused" in text
        assert ">Recover</button>" in text
        assert 'role="img" aria-label="p50 ' in text

    def test_buttons_for_what_makes_sense(self, site: Site, daemon: Daemon) -> None:
        def buttons() -> list[str]:
            row = site.text("cmd=show&w=lb&sw=nodeA")
            return re.findall(r"aria-label=\"(\w+) nodeA\">\1</button>", row)

        assert buttons() == ["Drain", "Stop", "Reset"]
        site.post("cmd=update&w=lb&sw=nodeA&vwa=d")
        assert buttons() == ["Activate", "Stop", "Reset"]
        site.post("cmd=update&w=lb&sw=nodeA&vwa=s")
        assert buttons() == ["Activate", "Reset"]

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("w=lb", {"vlr", "vls", "vlm"}),
            ("w=lb&sw=nodeA", {"vwa", "vwf", "vahst", "vamps"}),
            ("w=lb&att=vwf", {"val0", "val1"}),
            ("w=lb&att=vart", {"val0", "val1"}),
            ("w=alone", {"vahst", "vart"}),
        ],
    )
    def test_a_form_says_what_is(self, site: Site, query: str, names: set[str]) -> None:
        text = site.text(f"cmd=edit&{query}")
        assert names <= set(re.findall(r' name="(\w+)"', text))
        # Sent back as it is, it changes nothing.
        form = text[text.index('<form method="post" class="edit"') : text.index("</form>")]
        fields = dict(re.findall(r'<input[^>]* name="(\w+)" value="([^"]*)"', form))
        for name, options in re.findall(r'<select name="(\w+)">(.*?)</select>', form):
            found = re.search(r"<option selected>(\w+)", options)
            assert found is not None
            fields[name] = found[1]
        site.post(f"cmd=update&{query}", fields)
        again = site.text(f"cmd=edit&{query}")
        assert (
            again[again.index("<fieldset>") : again.index("</fieldset>")]
            == (text[text.index("<fieldset>") : text.index("</fieldset>")])
        )

    def test_it_loads_itself_again_when_asked_to(self, site: Site) -> None:
        assert '<meta http-equiv="refresh" content="7">' in site.text("re=7")

    def test_rules_are_shown(self, tmp_path: Path) -> None:
        daemon = Daemon(tmp_path, WORKERS + "worker.lb.mount=/app/*\n")
        assert "<code>/app/*=lb</code>" in Site(daemon).text()


def test_a_token_is_its_readers_and_does_not_last() -> None:
    token = token_for("ann@10.0.0.1", now=1_000_000.0)
    assert is_token(token, "ann@10.0.0.1", now=1_000_000.0 + 6 * 3600)
    assert not is_token(token, "bob@10.0.0.1", now=1_000_000.0)
    assert not is_token(token, "ann@10.0.0.1", now=1_000_000.0 + 13 * 3600)
    assert not is_token("é" * 32, "ann@10.0.0.1", now=1_000_000.0)


@pytest.mark.parametrize("kind", ["txt", "xml", "prop", "json"])
def test_variables_that_secrets_are_made_of_are_not_dumped(tmp_path: Path, kind: str) -> None:
    variables = "pw=hidden\nother=hidden.two\nbase=8\nworker.list=a,b\n"
    secrets = "worker.a.secret=$(pw).one\nworker.b.secret=$(other)\n"
    ports = "worker.a.port=$(base)109\nworker.b.port=8209\n"
    text = Site(Daemon(tmp_path, variables + secrets + ports)).text(f"cmd=dump&mime={kind}")
    assert "hidden" not in text
    assert "base" in text
    assert "8109" in text


@pytest.mark.parametrize("where", ["cross-site", "same-site"])
def test_another_sites_page_changes_nothing(daemon: Daemon, where: str) -> None:
    site = Site(daemon, PageConfig(allow_get=True))
    update = "cmd=update&w=lb&sw=nodeA&vwa=d&mime=txt"
    given = site.ask(update, headers={b"sec-fetch-site": (where.encode(),)})
    assert given.status == 403
    assert b"Another site's page" in given.body
    assert "activation=ACT" in site.text("cmd=show&w=lb&sw=nodeA&mime=txt")
    for own in (b"same-origin", b"none"):
        assert site.ask(update, headers={b"sec-fetch-site": (own,)}).status == 200
    assert "activation=DIS" in site.text("cmd=show&w=lb&sw=nodeA&mime=txt")
