from typing import Any

import pytest

from ajpd.importing.proxy import milliseconds

from .stage import Stage

MEMBERS = """\
<Proxy balancer://lb>
  BalancerMember ajp://10.0.0.1:8009{one}
  BalancerMember ajp://10.0.0.2:8009{two}
  {more}
</Proxy>
ProxyPass /app balancer://lb/app{params}
"""


def worker(stage: Stage, parameters: str) -> dict[str, Any]:
    """What parameters of a container become."""
    found = stage.take(f"ProxyPass /app ajp://h:8010/app {parameters}")
    (table,) = found["worker"].values()
    assert found["mount"] == {"/app|/*": "h-8010"}
    assert table.pop("host") == "h"
    assert table.pop("port") == 8010
    assert stage.result.is_good
    return dict(table)


def balancer(
    stage: Stage, *, one: str = "", two: str = "", more: str = "", params: str = ""
) -> dict[str, dict[str, Any]]:
    """What a balancer and its members become."""
    found = stage.take(MEMBERS.format(one=f" {one}", two=f" {two}", more=more, params=f" {params}"))
    assert stage.result.is_good, stage.errors()
    tables: dict[str, dict[str, Any]] = found["worker"]
    return tables


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("5", 5000),
        ("5ms", 5),
        ("5s", 5000),
        ("5mi", 300_000),
        ("5min", 300_000),
        ("1h", 3_600_000),
        ("", None),
        ("-1", None),
        ("x", None),
        ("5d", None),
        ("1" * 10, None),
    ],
)
def test_times(text: str, time_ms: int | None) -> None:
    assert milliseconds(text) == time_ms


@pytest.mark.parametrize(
    ("parameters", "settings"),
    [
        ("", {}),
        ("secret=s=1", {"secret": "s=1"}),
        ("timeout=30", {"reply_timeout": "30s"}),
        ("connectiontimeout=500ms", {"socket_connect_timeout": "500ms"}),
        ("ping=5", {"connect_timeout": "5s", "prepost_timeout": "5s"}),
        (
            "ttl=60 acquire=300",
            {"connection_pool_timeout": "60s", "connection_acquire_timeout": "300ms"},
        ),
        ("max=10 smax=5", {"connection_pool_size": 10, "connection_pool_minsize": 5}),
        ("max=0", {}),
        ("keepalive=On", {"socket_keepalive": True}),
        ("receivebuffersize=65536", {"socket_buffer": 65536}),
        ("retry=5 route=a", {}),
        ("hcmethod=GET hcuri=/up?x hcinterval=5", {"probe_uri": "/up?x", "probe_interval": "5s"}),
        ("hcmethod=HEAD hcuri=/up", {"probe_uri": "HEAD /up"}),
        ("hcmethod=CPING hcuri=/up", {"probe": "cping"}),
        ("flushpackets=on min=3 iobuffersize=8192", {}),
    ],
)
def test_parameters_of_a_container(
    stage: Stage, parameters: str, settings: dict[str, object]
) -> None:
    assert worker(stage, parameters) == settings
    assert stage.errors() == []


@pytest.mark.parametrize(
    "parameters",
    [
        *("timeout=soon", "max=many", "disablereuse=On", "nonsense=1", "lbmethod=byrequests"),
        *("hcinterval=x", "hcexpr=ok"),
    ],
)
def test_parameters_that_are_lost(stage: Stage, parameters: str) -> None:
    assert worker(stage, parameters) == {}
    assert len(stage.warnings()) == 1


def test_what_counts_for_all_containers_of_a_server(stage: Stage) -> None:
    found = stage.take(
        "ProxyTimeout 20\nProxyIOBufferSize 20000\n"
        "<Proxy ajp://a:8009>\nProxySet secret=s\n</Proxy>\n"
        "ProxySet ajp://b keepalive=On\n"
        "ProxyPass /a ajp://a:8009/a\nProxyPass /b ajp://b/b timeout=5\nProxyPass /c ajp://a:8009/c\n"
    )
    size = {"port": 8009, "max_packet_size": 20480}
    assert found["worker"] == {
        "a": {"host": "a", **size, "reply_timeout": "20s", "secret": "s"},
        "b": {"host": "b", **size, "reply_timeout": "5s", "socket_keepalive": True},
    }
    assert found["mount"] == {"/a|/*": "a", "/b|/*": "b", "/c|/*": "a"}
    assert stage.result.has_secret


@pytest.mark.parametrize(
    ("url", "table"),
    [
        ("ajp://[::1]:9/app", {"host": "::1", "port": 9}),
        ("ajp://h/app", {"host": "h", "port": 8009}),
        ("unix:/run/ajp.sock|ajp://x/app", {"host": "unix:/run/ajp.sock"}),
        ("AJP://h:9/app", {"host": "h", "port": 9}),
    ],
)
def test_urls(stage: Stage, url: str, table: dict[str, object]) -> None:
    found = stage.take(f"ProxyPass /app {url}")
    assert list(found["worker"].values()) == [table]
    assert stage.result.is_good


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ProxyPass /x ajp://h:99999/x", "99999 is no port"),
        ("ProxyPass /x nowhere", "nowhere is no URL"),
        ("ProxyPass /x ajp://h/x hx", "has no value"),
        ("ProxyPass /x ajp://a:8009/y", "it changes paths from /x to /y"),
        ("ProxyPass / ajp://a:8009/y/", "it changes paths from / to /y/"),
        ("ProxyPass /x/ ajp://a:8009/", "it changes paths from /x/ to /"),
        ("ProxyPass /x http://a/x", "is no AJP, which is all that ajpd speaks"),
        ("ProxyPass /x fcgi://a/x", "is no AJP, which is all that ajpd speaks"),
        ("ProxyPass /x balancer://none/x", "balancer://none has no members that speak AJP"),
        ("ProxyPass x ajp://a/x", "x does not begin with /"),
        ("ProxyPass /x", "it leads nowhere"),
        ("ProxyPass", "it has no argument"),
        ("ProxyPassMatch ^/[ab] ajp://a", "no pattern can say"),
        ("ProxyPassMatch ^/x/(.*)$ ajp://a/y/$1", "it changes paths from /x/* to /y/$1"),
        ("ProxyPassMatch ^/x/(.*)$ ajp://a/y", "it changes paths"),
        ("BalancerMember ajp://a", "it says no balancer"),
        ("ProxySet lb x=y", "it says no balancer and no container"),
        ("ProxyTimeout soon", "soon is no time"),
        ("ProxyIOBufferSize big", "big is no number of bytes"),
        ("RewriteRule ^/x/(.*)$ ajp://a/x/y [P]", "it changes paths"),
        ("RewriteCond a b\nRewriteRule ^/x ajp://a/x [P]", "under conditions"),
        ("<Directory />\nProxyPass ajp://a\n</Directory>", "it counts inside <Directory />"),
    ],
)
def test_what_cannot_be(stage: Stage, line: str, words: str) -> None:
    found = stage.take(f"ProxyPass /ok ajp://h:1/ok\n{line}\n")
    assert any(words in said for said in stage.errors()), stage.errors()
    assert found["mount"] == {"/ok|/*": "h-1", **({"/x|/*": "h"} if " hx" in line else {})}
    assert stage.result.is_good


@pytest.mark.parametrize(
    ("lines", "mounts"),
    [
        ("ProxyPass / ajp://h/", {"/*": "h"}),
        ("ProxyPass /a ajp://h/a", {"/a|/*": "h"}),
        ("ProxyPass /a/ ajp://h/a/", {"/a/*": "h"}),
        ("ProxyPass /a ajp://h/a/", {"/a|/*": "h"}),
        ("ProxyPass ~ ^/a/(.*)$ ajp://h/a/$1", {"/a/*": "h"}),
        ("ProxyPassMatch \\.jsp$ ajp://h", {"/*.jsp": "h"}),
        ("RewriteRule ^/a/(.*)$ ajp://h/a/$1 [P,L]", {"/a/*": "h"}),
        ("RewriteRule ^(.*)$ ajp://h$1 [proxy]", {"/*": "h"}),
        ("<Location /a>\nProxyPass ajp://h/a\n</Location>", {"/a|/*": "h"}),
        ("ProxyErrorOverride On\nProxyPass /a ajp://h/a", {"/a|/*": "h;use_server_errors=400"}),
        ("ProxyPass /a ajp://h/a\nProxyErrorOverride On", {"/a|/*": "h;use_server_errors=400"}),
        # The first one counts in Apache.
        ("ProxyPass /a ajp://h/a\nProxyPass /a/b ajp://i/a/b", {"/a|/*": "h"}),
        ("ProxyPass /a/b ajp://i/a/b\nProxyPass /a ajp://h/a", {"/a/b|/*": "i", "/a|/*": "h"}),
        # An exclusion counts for what stands behind it.
        ("ProxyPass /a/s !\nProxyPass /a ajp://h/a", {"!/a/s|/*": "h", "/a|/*": "h"}),
        ("ProxyPass /a ajp://h/a\nProxyPass /a/s !", {"/a|/*": "h"}),
        ("ProxyPass /a ajp://h/a\nProxyPass / !", {"/a|/*": "h"}),
        (
            "ProxyPass /a/s !\nProxyPass /a/s/x ajp://i/a/s/x\nProxyPass /a ajp://h/a",
            {"!/a/s|/*": "h", "/a|/*": "h"},
        ),
        (
            "ProxyPass /a/s/x ajp://i/a/s/x\nProxyPass /a/s !\nProxyPass /a ajp://h/a",
            {"/a/s/x|/*": "i", "!/a/s|/*": "h", "/a|/*": "h"},
        ),
        (
            "ProxyPass /s !\nProxyPassMatch ^(/.*\\.do)$ ajp://h$1\nProxyPass / ajp://i/",
            {"!/s|/*": "*", "/*.do": "h", "/*": "i"},
        ),
    ],
)
def test_rules(stage: Stage, lines: str, mounts: dict[str, str]) -> None:
    assert stage.take(lines)["mount"] == mounts
    assert stage.errors() == []
    assert stage.result.is_good


def test_requests_for_others_do_not_get_to_a_container(stage: Stage) -> None:
    found = stage.take("ProxyPass /api http://a/\nProxyPass / ajp://h/")
    assert found["mount"] == {"!/api|/*": "h", "/*": "h"}
    assert "answered 404" in stage.errors()[0]


def test_an_exclusion_that_cannot_be_said(stage: Stage) -> None:
    found = stage.take("ProxyPass /a/s/x ajp://h/a/s/x\nProxyPass /a/s !\nProxyPass /a ajp://h/a")
    assert found["mount"] == {"/a/s/x|/*": "h", "/a|/*": "h"}
    assert "rules for one worker cannot say" in stage.errors()[0]


def test_a_slash_that_was_forgotten(stage: Stage) -> None:
    assert stage.take("ProxyPass /a/ ajp://h/a")["mount"] == {"/a/*": "h"}
    assert "Apache puts no / between" in stage.warnings()[0]


def test_names_that_are_taken(stage: Stage) -> None:
    stage.write("w", "worker.list=h\nworker.h.port=1\n")
    found = stage.take(
        "JkWorkersFile w\nJkMount /j h\nProxyPass /a ajp://h/a\nProxyPass /b ajp://h:9/b"
    )
    assert list(found["worker"]) == ["h-2", "h-9"]
    assert found["mount"] == {"/j": "h", "/a|/*": "h-2", "/b|/*": "h-9"}


# --- balancers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "settings"),
    [
        ("", {"sticky_session": False}),
        ("stickysession=JSESSIONID|jsessionid", {"session_cookie": "JSESSIONID"}),
        ("stickysession=SID", {"session_cookie": "SID", "session_path": ";SID"}),
        ("stickysession=SID|;sid", {"session_cookie": "SID", "session_path": ";sid"}),
        ("lbmethod=bytraffic", {"method": "Traffic", "sticky_session": False}),
        ("lbmethod=bybusyness", {"method": "Busyness", "sticky_session": False}),
        ("lbmethod=heartbeat", {"method": "Busyness", "sticky_session": False}),
        ("lbmethod=mine", {"sticky_session": False}),
        ("nofailover=On", {"sticky_session_force": True, "sticky_session": False}),
        ("maxattempts=2", {"lb_retries": 3, "sticky_session": False}),
        ("timeout=5 growth=3 nonsense=1", {"sticky_session": False}),
    ],
)
def test_parameters_of_a_balancer(stage: Stage, params: str, settings: dict[str, object]) -> None:
    """Wherever they are written."""
    expected = {"type": "lb", "balance_workers": ["10-0-0-1", "10-0-0-2"], **settings}
    assert balancer(stage, params=params)["lb"] == expected
    assert balancer(stage, more=f"ProxySet {params}" if params else "")["lb"] == expected
    text = MEMBERS.format(one="", two="", more="", params="")
    opening = text.replace("balancer://lb>", f"balancer://lb {params}>")
    assert stage.take(opening)["worker"]["lb"] == expected


@pytest.mark.parametrize(
    ("one", "two", "first", "second", "lb"),
    [
        ("route=a", "route=b", {"route": "a"}, {"route": "b"}, {}),
        ("loadfactor=2", "", {"lbfactor": 2}, {"lbfactor": 1}, {}),
        ("loadfactor=1.5", "loadfactor=1", {"lbfactor": 3}, {"lbfactor": 2}, {}),
        ("loadfactor=0", "loadfactor=x", {}, {}, {}),
        ("redirect=b", "route=b status=+D", {"redirect": "b"},
         {"route": "b", "activation": "Stopped"}, {}),
        ("redirect=c", "", {}, {}, {}),
        ("status=+H lbset=1", "lbset=3", {"distance": 5}, {"distance": 3}, {}),
        ("status=R", "status=+N", {"distance": 1}, {"activation": "Disabled"}, {}),
        ("status=+D-D+I", "status=S", {"activation": "Stopped"}, {"activation": "Stopped"}, {}),
        ("status=-D", "status=+X", {}, {}, {}),
        ("retry=30", "retry=10", {}, {}, {"recover_time": "10s"}),
        ("retry=0", "retry=0", {}, {}, {"recover_time": "1s"}),
        ("timeout=3", "ping=2ms", {"reply_timeout": "3s"},
         {"connect_timeout": "2ms", "prepost_timeout": "2ms"}, {}),
    ],
)  # fmt: skip
def test_parameters_of_members(
    stage: Stage,
    one: str,
    two: str,
    first: dict[str, object],
    second: dict[str, object],
    lb: dict[str, object],
) -> None:
    tables = balancer(stage, one=one, two=two)
    names = tables["lb"].pop("balance_workers")
    assert tables["lb"] == {"type": "lb", "sticky_session": False, **lb}
    for name, address, settings in zip(
        names, ("10.0.0.1", "10.0.0.2"), (first, second), strict=True
    ):
        assert tables[name] == {"host": address, "port": 8009, **settings}


def test_failonstatus_is_for_members_here(stage: Stage) -> None:
    tables = balancer(stage, more="ProxySet failonstatus=500,503")
    assert [tables[name]["fail_on_status"] for name in ("10-0-0-1", "10-0-0-2")] == [[500, 503]] * 2


def test_two_members_of_one_route(stage: Stage) -> None:
    tables = balancer(stage, one="route=a", two="route=a")
    assert tables["lb"]["balance_workers"] == ["a", "10-0-0-2"]
    assert "another member has the route a" in stage.warnings()[0]


def test_one_container_twice(stage: Stage) -> None:
    found = stage.take(
        "<Proxy balancer://lb>\nBalancerMember ajp://a route=x\nBalancerMember ajp://a\n</Proxy>\n"
        "ProxyPass / balancer://lb/"
    )
    assert found["worker"]["lb"]["balance_workers"] == ["x", "a"]
    assert stage.result.is_good


@pytest.mark.parametrize(
    "text",
    [
        "<proxy BALANCER://LB>\nbalancermember ajp://a\n</proxy>\nProxyPass / balancer://lb/",
        'BalancerMember balancer://lb ajp://a\nProxyPass / "balancer://lb"',
        "ProxyPass / balancer://lb/\nBalancerMember balancer://lb ajp://a",
        "<Proxy balancer://lb>\nBalancerMember ajp://a\n</Proxy>\n"
        "<VirtualHost *>\nProxyPass / balancer://lb/\n</VirtualHost>",
        "<VirtualHost *>\n<Proxy balancer://lb>\nBalancerMember ajp://a\n</Proxy>\n"
        "ProxyPass / balancer://lb/\n</VirtualHost>",
    ],
)
def test_where_a_balancer_may_stand(stage: Stage, text: str) -> None:
    found = stage.take(text)
    (name,) = found["mount"].values()
    assert found["worker"][name]["balance_workers"] == ["a"]
    assert stage.result.is_good


def test_balancers_of_one_name_in_two_virtual_hosts(stage: Stage) -> None:
    host = (
        "<VirtualHost *>\nServerName {0}.example\n<Proxy balancer://lb>\nBalancerMember ajp://{0}\n"
        "</Proxy>\nProxyPass / balancer://lb/\n</VirtualHost>\n"
    )
    found = stage.take(host.format("a") + host.format("b"))
    assert found["worker"]["lb"]["balance_workers"] == ["a"]
    assert found["worker"]["lb-2"]["balance_workers"] == ["b"]
    assert found["host"]["b.example"]["mount"] == {"/*": "lb-2"}


def test_a_path_in_the_urls_of_members(stage: Stage) -> None:
    text = (
        "<Proxy balancer://lb>\nBalancerMember ajp://a/app\nBalancerMember ajp://b{}\n</Proxy>\n"
        "ProxyPass /app balancer://lb\nProxyPass /ok ajp://ok/ok\n"
    )
    assert "/app|/*" in stage.take(text.format("/app"))["mount"]
    assert "/app|/*" not in stage.take(text.format("/other"))["mount"]
    assert "it changes paths from /app to /other" in stage.errors()[0]


def test_members_that_are_no_ajp(stage: Stage) -> None:
    found = stage.take(
        "<Proxy balancer://lb>\nBalancerMember http://a\nBalancerMember ajp://b:x\n"
        "BalancerMember ajp://c\n</Proxy>\nProxyPass / balancer://lb/"
    )
    assert found["worker"]["lb"]["balance_workers"] == ["c"]
    assert ["is no AJP" in said or "x is no port" in said for said in stage.errors()] == [True] * 2


def test_templates_of_health_checks(stage: Stage) -> None:
    tables = balancer(stage, one="hctemplate=t")
    assert "probe_uri" not in tables["10-0-0-1"]
    found = stage.take(
        "ProxyHCTemplate t hcmethod=GET hcuri=/up\nProxyPass /a ajp://h/a hctemplate=t hcinterval=3"
    )
    assert found["worker"]["h"] == {
        "host": "h", "port": 8009, "probe_uri": "/up", "probe_interval": "3s"
    }  # fmt: skip


def test_paths_as_they_came(stage: Stage) -> None:
    found = stage.take("ProxyPass /a ajp://h/a nocanon")
    assert found["server"] == {"forward_uri": "compat_unparsed"}
    found = stage.take("ProxyPass /a ajp://h/a\nProxyPass /b http://h/b nocanon")
    assert "server" not in found


def test_secrets_are_not_in_remarks(stage: Stage) -> None:
    stage.take("ProxyPass /a ajp://h/b secret=hush\nProxyPass /c ajp://h/c secret= hush")
    assert "hush" not in " ".join(stage.said())
    assert "hush" not in repr(stage.result)


def test_members_that_nothing_leads_to(stage: Stage) -> None:
    found = stage.take("BalancerMember balancer://lb ajp://a\nProxyPass /b ajp://b/b")
    assert list(found["worker"]) == ["b"]
    assert "1: BalancerMember: no rule leads to balancer://lb" in stage.notes()[0]


def test_the_same_twice(stage: Stage) -> None:
    found = stage.take("ProxyPass /b ajp://b/b\nProxyPass /b ajp://b/b\nProxyPass /s !")
    assert found["mount"] == {"/b|/*": "b"}
    assert "says the same" in stage.notes()[0]
    assert "nothing behind it would take these requests" in stage.notes()[1]
    found = stage.take("JkMount /* ajp13\nProxyPass /a ajp://b/a\n" + large_balancer(65))
    assert len(found["worker"]["lb"]["balance_workers"]) == 64
    assert "a balancer has at most 64 members" in stage.errors()[0]


def large_balancer(count: int) -> str:
    """A balancer with so many members, and a rule for it."""
    members = [f"BalancerMember ajp://h{number}" for number in range(count)]
    return "\n".join(
        ("<Proxy balancer://lb>", *members, "</Proxy>", "ProxyPass /l balancer://lb/l")
    )
