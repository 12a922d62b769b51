import re
from pathlib import Path

import pytest

from ajpd.importing.importer import Options, import_configuration

from .stage import WORKERS, Stage


@pytest.mark.parametrize(
    ("lines", "mounts"),
    [
        ("JkMount /a one", {"/a": "one"}),
        ("jkMOUNT /a|/* one", {"/a|/*": "one"}),
        ("JkMount /a one;reply_timeout=5", {"/a": "one;reply_timeout=5"}),
        ("JkMount /* one\nJkUnMount /s/* one", {"/*": "one", "!/s/*": "one"}),
        ("JkMount /* one\nJkUnMount /s/* *", {"/*": "one", "!/s/*": "*"}),
        ("JkMount /a one\nJkMount /a two", {"/a": "two"}),
        ("<Location /a>\nJkMount one\n</Location>", {"/a": "one"}),
        ('<Location "/a/">\nJkMount one\n</Location>', {"/a/": "one"}),
        ("<Location /a>\nJkUnMount one\n</Location>\nJkMount /* one", {"!/a": "one", "/*": "one"}),
    ],
)
def test_rules(stage: Stage, lines: str, mounts: dict[str, str]) -> None:
    assert stage.jk(lines)["mount"] == mounts
    assert stage.errors() == []
    assert stage.result.is_good


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("JkMount /a", "3: JkMount: there is no path"),
        ("JkMount a one", "a does not begin with /"),
        ("JkMount !/a one", "!/a does not begin with /"),
        ("JkMount", "it has 0 arguments, and takes 1 or 2"),
        ("JkMount /a one two", "it has 3 arguments, and takes 1 or 2"),
        ("JkMount /a nobody", "there is no worker nobody in"),
        ("JkMount /a one;reply_timeout=never", "'never' is no number of milliseconds"),
        ("<Location /a>\nJkMount /a one\n</Location>", "a path cannot stand inside a Location"),
        (
            "<LocationMatch ^/a>\nJkMount one\n</LocationMatch>",
            "takes the expression ^/a for a path",
        ),
        ("<Location ~ ^/a>\nJkMount one\n</Location>", "takes the expression ^/a for a path"),
        ("<Directory /a>\nJkMount one\n</Directory>", "it counts inside <Directory /a> only"),
        ("<If true>\nJkMount /a one\n</If>", "it counts inside <If true> only"),
        ("JkWorkersFile workers.properties", "it is there already, at"),
        ("JkMountCopy Maybe", "it cannot be Maybe here"),
        ("<VirtualHost *:81>\nJkMountCopy All\n</VirtualHost>", "it cannot be All here"),
        ("<VirtualHost *:81>\nJkShmFile x\n</VirtualHost>", "does not belong into a VirtualHost"),
        ("JkMountFileReload soon", "soon is no number of seconds"),
        ("JkShmFile logs/jk.shm JkLogLevel info", "write JkLogLevel on a line of its own"),
        ("JkOptions +ForwardURICompat-ForwardDirectories", "put a blank between two options"),
        ("JkOptions +Nonsense", "there is no option Nonsense"),
        ("JkOptions -ForwardURIProxy", "there is no option -ForwardURIProxy"),
        ("JkMountFile nowhere.properties", "nowhere.properties is not here"),
        ("JkEnvVar WHAT", "nobody knows its value"),
        ("JkEnvVar CONTENT-TYPE x", "clients could not send the header of this name"),
    ],
)
def test_what_cannot_be(stage: Stage, lines: str, words: str) -> None:
    found = stage.jk(f"JkMount /ok one\n{lines}")
    errors = stage.errors()
    assert len(errors) == 1, errors
    assert words in errors[0]
    assert found["mount"] == {"/ok": "one"}
    assert stage.result.is_good


def test_a_rule_that_cannot_be_is_a_comment(stage: Stage) -> None:
    stage.jk("JkMount /ok one\nJkMount /a nobody")
    assert re.search(r'^#"/a" = "nobody"', stage.result.text, re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "section", "key", "value"),
    [
        ("JkOptions +ForwardURICompat", "server", "forward_uri", "compat"),
        ("JkOptions ForwardURIEscaped", "server", "forward_uri", "escaped"),
        ("JkOptions +ForwardURICompatUnparsed", "server", "forward_uri", "compat_unparsed"),
        ("JkLogLevel warn", "log", "level", "warning"),
        ("JkLogLevel TRACE", "log", "level", "debug"),
        ("JkLogLevel bogus", "log", "level", "info"),
        ('JkRequestLogFormat "%w %V"', "log", "access_format", "%w %V"),
        ("RemoteIPHeader X-Forwarded-For", "server", "forwarded_headers", "x-forwarded"),
        ("RemoteIPInternalProxy 10.0.0.1/8", "server", "trusted_proxies", ["10.0.0.0/8"]),
        ("KeepAliveTimeout 500ms", "server", "keepalive_timeout", "500ms"),
        ("LimitRequestBody 1000", "server", "max_body_bytes", 1000),
        ("Listen 127.0.0.1:8081", "server", "listen", ["127.0.0.1:8081"]),
        ("Listen 81\nListen 81", "server", "listen", ["0.0.0.0:81", "[::]:81"]),
        ("Listen [::1]:82", "server", "listen", ["[::1]:82"]),
    ],
)
def test_keys(stage: Stage, line: str, section: str, key: str, value: object) -> None:
    found = stage.jk(f"JkMount /ok one\n{line}")
    assert found[section][key] == value
    assert stage.result.is_good
    assert stage.errors() == []


def test_a_map_and_how_often_it_is_read(stage: Stage) -> None:
    stage.write("maps/own.properties", "/a/*=one\n")
    for word, said in (("5", "5s"), ("0", "0"), ("-3", "0")):
        found = stage.jk(f"JkMountFile maps/own.properties\nJkMountFileReload {word}")
        assert found["map"] == {"file": str(stage.folder / "maps/own.properties"), "reload": said}
    assert stage.result.is_good


def test_a_log_file(stage: Stage) -> None:
    (stage.folder / "logs").mkdir()
    text = f"ServerRoot {stage.folder}\nJkMount /ok one\nJkLogFile logs/jk.log"
    assert stage.jk(text)["log"] == {"file": str(stage.folder / "logs/jk.log")}
    # The last one counts, here as well.
    assert "log" not in stage.jk(f"{text}\nJkLogFile '| rotatelogs x'")
    assert "does not log to a program (rotatelogs x)" in stage.notes()[-1]
    assert "log" not in stage.jk("JkMount /ok one\nJkLogFile /no/where/x")
    assert stage.errors() == []


@pytest.mark.parametrize(
    ("lines", "attributes"),
    [
        ("JkEnvVar A b", {"A": "value:b"}),
        ("SetEnv A 'b c'\nJkEnvVar A", {"A": "value:b c"}),
        ("JkEnvVar SSL_CLIENT_S_DN_CN", {"SSL_CLIENT_S_DN_CN": "certificate:S_DN_CN"}),
        ("JkEnvVar SSL_CLIENT_S_DN none", {"SSL_CLIENT_S_DN": "certificate:S_DN|none"}),
        ("JkEnvVar SSL_CLIENT_SAN_Email_0", {"SSL_CLIENT_SAN_Email_0": "certificate:SAN_Email"}),
        ("ProxyPass /p ajp://h\nSetEnv AJP_x y", {"x": "value:y"}),
    ],
)
def test_attributes(stage: Stage, lines: str, attributes: dict[str, str]) -> None:
    assert stage.jk(f"JkMount /ok one\n{lines}").get("attributes") == attributes


def test_variables_that_need_no_attribute(stage: Stage) -> None:
    found = stage.jk("JkMount /ok one\nJkEnvVar SSL_CIPHER\nSetEnv no-jk 1\nSetEnv X y")
    assert "attributes" not in found
    assert any("in a field of AJP anyway" in note for note in stage.notes())
    assert any("an exclusion in [mount]" in warning for warning in stage.warnings())


def test_everything_that_has_no_place_here_is_named(stage: Stage) -> None:
    lines = [
        *("JkShmFile x", "JkShmSize 5", "JkWatchdogInterval 5", "JkLogStampFormat x"),
        *("JkStripSession On", "JkIgnoreCLIndicator X", "JkRequestIdIndicator X"),
        *("JkKEYSIZEIndicator X", "JkCIPHERIndicator X", "JkSESSIONIndicator X"),
        *("JkSSLPROTOCOLIndicator X", "JkCERTSIndicator X", "JkCERTCHAINPrefix X"),
        *("JkExtractSSL On", "JkExtractSSL Off", "JkAutoAlias /x", "JkWorkerIndicator X"),
        *("JkHTTPSIndicator X", "JkRemoteAddrIndicator X", "JkRemotePortIndicator X"),
        *("JkRemoteHostIndicator X", "JkLocalNameIndicator X", "JkLocalAddrIndicator X"),
        *("JkLocalPortIndicator X", "JkRemoteUserIndicator X", "JkAuthTypeIndicator X"),
        *("JkMountCopy On", "JkOptions +FlushPackets", "JkOptions +DisableReuse"),
        *("JkOptions -ForwardKeySize", "JkOptions +ForwardDirectories", "JkRequestLogFormat %Z"),
    ]
    stage.jk("\n".join(["JkMount /ok one", *lines]))
    named = {int(said.partition(":")[0]) for said in (*stage.notes(), *stage.warnings())}
    assert named >= set(range(3, 3 + len(lines)))
    assert stage.errors() == []


def test_options_that_do_not_agree(stage: Stage) -> None:
    found = stage.jk(
        "JkMount /ok one\nJkOptions +ForwardURIProxy\nJkOptions +ForwardURICompat +ForwardURIProxy"
    )
    assert found["server"]["forward_uri"] == "proxy"
    assert any("forward_uri counts for all of ajpd" in said for said in stage.warnings())


# --- workers --------------------------------------------------------------------------------------


def test_properties_in_apaches_own_files(stage: Stage) -> None:
    stage.write(
        "workers.properties",
        "worker.list=b\nworker.b.port=$(port)\nworker.lb.type=lb\nworker.lb.balance_workers=m\n"
        "worker.m.host=$(ServerRoot)\nworker.m.disabled=1\nworker.m.reply_timeout=1500\n"
        "worker.m.fail_on_status=500 503\nworker.unused.port=1\n",
    )
    found = stage.take(
        "ServerRoot /srv\nJkWorkerProperty worker.list=lb\nJkWorkerProperty port=8123\n"
        "JkWorkersFile workers.properties\nJkMount /* lb\nJkMount /b b\n"
    )
    assert "workers" not in found
    assert found["worker"] == {
        "lb": {"type": "lb", "balance_workers": ["m"]},
        "b": {"port": 8123},
        "m": {
            "host": "/srv",
            "activation": "Disabled",
            "reply_timeout": "1500ms",
            "fail_on_status": [500, 503],
        },
    }
    assert any("worker.unused: it is not in worker.list" in note for note in stage.notes())


def test_all_in_one_file(stage: Stage) -> None:
    options = Options(in_place=True)
    found = stage.jk("JkMount /ok lb\nJkMount /s status", options)
    assert "workers" not in found
    assert found["worker"]["lb"] == {"type": "lb", "balance_workers": ["a", "b"]}
    assert found["worker"]["status"] == {"type": "status"}
    assert found["worker"]["a"] == {"port": 8010}
    assert stage.result.is_good
    assert list(stage.config().workers) == ["one", "two", "a", "b"]


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ("worker.list=a\nworker.a.port=many", "many"),
        ("worker.list=a,b\nworker.a.port=1", "worker b is defined nowhere"),
        ("worker.list=a\nworker.a.prot=1", "unknown directive 'prot'"),
    ],
)
def test_broken_properties(stage: Stage, properties: str, words: str) -> None:
    """The same is said whether they are tables or a file; and of the line they are on."""
    for lines in ("JkWorkersFile w\n", "JkWorkersFile w\nJkWorkerProperty x=y\n"):
        stage.write("w", properties)
        stage.take(f"{lines}JkMount /a a")
        assert [said for said in stage.errors() if words in said or "'b'" in said], stage.errors()


def test_a_map_of_a_host_in_place(stage: Stage) -> None:
    stage.write("m", "/a/*=one;reply_timeout=5\n!/a/x=*\nno=one\n/b=one\n")
    text = (
        "<VirtualHost *:80>\nJkMount /x one\n</VirtualHost>\n"
        "<VirtualHost *:80>\nServerName h\nJkMountFile m\nJkMount /b two\n</VirtualHost>"
    )
    found = stage.jk(text, Options(in_place=True))
    mounts = {"/a/*": "one;reply_timeout=5", "!/a/x": "*", "/b": "one"}
    assert found["host"] == {"h": {"mount": mounts}}
    assert "the pattern of 'no' must begin with '/'" in stage.errors()[0]
    (stage.folder / "m").unlink()
    (stage.folder / "m").mkdir()
    stage.jk(text, Options(in_place=True))
    assert "m is not here" in stage.errors()[0]


def test_what_a_workers_file_says_that_tables_cannot(stage: Stage) -> None:
    stage.write(
        "w", "worker.list=a,b\nworker.maintain=10\nworker.a.secretkey=x\nworker.a.method=R\n"
    )
    found = stage.take("JkWorkersFile w\nJkMount /a a", options=Options(in_place=True))
    assert found["worker"] == {"a": {}}
    assert "worker b is defined nowhere" in stage.errors()[0]
    assert "it works in workers.properties only" in stage.warnings()[0]
    assert sum("means nothing for this worker" in said for said in stage.notes()) == 2
    assert stage.result.is_good


def test_no_list_in_place(stage: Stage) -> None:
    found = stage.take("JkWorkerProperty worker.ajp13.port=9\nJkMount /a ajp13")
    assert found["worker"] == {"ajp13": {"port": 9}}
    found = stage.take("JkWorkerProperty x=y\nJkMount /a ajp13")
    assert found["worker"] == {"ajp13": {}}
    assert stage.result.is_good


def test_the_worker_that_mod_jk_makes_up(stage: Stage) -> None:
    found = stage.take("JkMount /* ajp13")
    assert found["worker"] == {"ajp13": {}}
    assert stage.result.is_good
    assert any("there is no JkWorkersFile: as in mod_jk ajp13" in said for said in stage.warnings())


def test_a_workers_file_that_is_not_here(stage: Stage) -> None:
    stage.take("JkWorkersFile /no/where/w.properties\nJkMount /* ajp13")
    assert not stage.result.is_good
    assert "give the workers.properties as well" in stage.errors()[0]
    # Beside the file that names it one of the same name is taken, with a warning.
    stage.write("w.properties", "worker.list=ajp13\nworker.ajp13.port=1\n")
    found = stage.take(r"JkWorkersFile D:\Tomcat\conf\w.properties" + "\nJkMount /* ajp13")
    assert found["workers"] == {"file": str(stage.folder / "w.properties")}
    assert "is taken in its place" in stage.warnings()[0]


def test_files_alone(stage: Stage) -> None:
    workers = stage.write("workers.properties", WORKERS)
    rules = stage.write("uriworkermap.properties", "/a/*=one\n")
    found = import_configuration([workers, rules])
    assert found.is_good
    assert not found.remarks
    assert f'[workers]\nfile = "{workers}"' in found.text
    assert f'[map]\nfile = "{rules}"' in found.text
    twice = import_configuration([workers, rules, stage.write("w2.properties", WORKERS)])
    assert "two workers files were given" in twice.remarks[0].reason
    twice = import_configuration([workers, rules, stage.write("m2.properties", "/b=one\n")])
    assert "two URI maps were given" in twice.remarks[0].reason


# --- who may see the pages ------------------------------------------------------------------------

LOCATION = "<Location /s>\nJkMount status\n{}\n</Location>"


@pytest.mark.parametrize(
    ("lines", "allow"),
    [
        ("Require ip 127.0.0.1 10.1", ["127.0.0.1/32", "10.1.0.0/16"]),
        ("Require local", ["loopback"]),
        (
            "Order deny,allow\nDeny from all\nAllow from 10.0.0.0/255.0.0.0 ::1",
            ["10.0.0.0/8", "::1/128"],
        ),
        (
            "<RequireAny>\nRequire ip 10.2.3.4\nRequire local\n</RequireAny>",
            ["10.2.3.4/32", "loopback"],
        ),
    ],
)
def test_who_may_see_a_status_page(stage: Stage, lines: str, allow: list[str]) -> None:
    found = stage.jk(LOCATION.format(lines))
    assert found["status"] == {"allow": allow}
    assert stage.result.is_good
    assert stage.warnings() == []


@pytest.mark.parametrize("lines", ["", "Require all granted", "Order deny,allow\nAllow from all"])
def test_a_status_page_for_everybody_is_for_this_machine(stage: Stage, lines: str) -> None:
    found = stage.jk(LOCATION.format(lines))
    assert "status" not in found
    assert "here only this machine may see it" in stage.warnings()[0]


def test_access_that_is_lost_is_a_warning(stage: Stage) -> None:
    stage.jk("<Location /a>\nJkMount one\nRequire ip 10.0.0.1\n</Location>")
    assert "everybody who reaches ajpd gets there" in stage.warnings()[0]
    stage.jk("<Location /a>\nJkMount one\nRequire all granted\n</Location>")
    assert stage.warnings() == []
    stage.jk(LOCATION.format("Require host example.org"))
    assert any("nobody is kept out" in said for said in stage.warnings())
    stage.jk(LOCATION.format("Allow from example.org"))
    assert any("is neither an address nor a network" in said for said in stage.warnings())


def test_what_a_published_recipe_looks_like(tmp_path: Path) -> None:
    """A directory for a file, one log twice, a section that never ends."""
    stage = Stage(tmp_path)
    stage.write(
        "conf/workers.properties",
        WORKERS.replace(".lb.", ".loadbalancer.").replace("=lb,", "=loadbalancer,"),
    )
    path = stage.write(
        "conf/mod_jk.conf",
        "LoadModule jk_module modules/\n"
        "JkWorkersFile conf/\n"
        "JkLogFile logs/mod_jk.log\nJkLogFile logs/mod_jk.shm\n"
        "JkOptions +ForwardKeySize +ForwardURICompat -ForwardDirectories\n"
        "JkMount /jasperserver-pro loadbalancer\nJkMount /jasperserver-pro/* loadbalancer\n"
        "JkShmFile logs/jk.shm\n"
        "<Location /jkstatus>\nJkMount status\nOrder deny,allow\nAllow from all\n",
    )
    stage.found = import_configuration([path])
    assert stage.result.is_good
    assert stage.errors() == []
    config = stage.config()
    assert [str(rule) for rule in config.rules] == [
        "/jasperserver-pro=loadbalancer",
        "/jasperserver-pro/*=loadbalancer",
        "/jkstatus=status",
    ]
    assert list(config.balancers) == ["loadbalancer"]
