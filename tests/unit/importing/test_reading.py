"""Which lines count: files, conditions, variables, and where files are."""

from pathlib import Path

import pytest

from ajpd.importing.importer import Options, import_configuration
from ajpd.importing.sources import Kind, kind_of

from .stage import WORKERS, Stage


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        ("<IfModule mod_jk.c>\n{}\n</IfModule>", True),
        ("<IfModule jk_module>\n{}\n</IfModule>", True),
        ("<IfModule !mod_jk.c>\n{}\n</IfModule>", False),
        ("<IfModule mod_whatever.c>\n{}\n</IfModule>", True),
        ("LoadModule mpm_event_module x\n<IfModule mod_jk.c>\n{}\n</IfModule>", False),
        ("LoadModule mpm_event_module x\n<IfModule !mod_jk.c>\n{}\n</IfModule>", True),
        (
            "LoadModule dir_module x\nLoadModule jk_module x\n<IfModule mod_jk.c>\n{}\n</IfModule>",
            True,
        ),
        ("LoadModule dir_module x\n<IfModule core.c>\n{}\n</IfModule>", True),
        ("<IfDefine X>\n{}\n</IfDefine>", False),
        ("<IfDefine !X>\n{}\n</IfDefine>", True),
        ("Define X\n<IfDefine X>\n{}\n</IfDefine>", True),
        ("Define X\nUnDefine X\n<IfDefine X>\n{}\n</IfDefine>", False),
        ("<IfDefine GIVEN>\n{}\n</IfDefine>", True),
        ("<IfVersion >= 2.4>\n{}\n</IfVersion>", True),
        ("<IfVersion < 2.4>\n{}\n</IfVersion>", False),
        ("<IfVersion 2.4>\n{}\n</IfVersion>", True),
        ("<IfVersion = 2.2>\n{}\n</IfVersion>", False),
        ("<IfVersion !< 2.4>\n{}\n</IfVersion>", True),
        ("<IfVersion > 2.4>\n{}\n</IfVersion>", True),
        ("<IfVersion <= 2.4.1>\n{}\n</IfVersion>", False),
        ("<IfVersion ~ ^2>\n{}\n</IfVersion>", True),
        ("<IfFile httpd.conf>\n{}\n</IfFile>", True),
        ("<IfFile nowhere.conf>\n{}\n</IfFile>", False),
        ("<IfDirective X>\n{}\n</IfDirective>", True),
        ("<IfSection X>\n{}\n</IfSection>", True),
        ("<IfModule a.c>\n<IfDefine X>\n{}\n</IfDefine>\n</IfModule>", False),
    ],
)
def test_conditions(stage: Stage, lines: str, counts: bool) -> None:
    text = "JkMount /ok one\n" + lines.format("JkMount /a two\nServerAdmin x")
    found = stage.jk(text, Options(defines={"GIVEN": ""}))
    assert ("/a" in found["mount"]) is counts
    left_out = [said for said in stage.warnings() if "Apache does not look at it" in said]
    assert len(left_out) == (0 if counts else 1)


@pytest.mark.parametrize(
    ("lines", "mounts"),
    [
        ("Define P /a\nJkMount ${P}/* one", {"/a/*": "one"}),
        ("JkMount ${GIVEN}/* one", {"/given/*": "one"}),
        ("JkMount /${NOBODY}/* one", {"/${NOBODY}/*": "one"}),
        ("Define L /l\n<Location ${L}>\nJkMount one\n</Location>", {"/l": "one"}),
    ],
)
def test_variables(stage: Stage, lines: str, mounts: dict[str, str]) -> None:
    found = stage.jk(lines, Options(defines={"GIVEN": "/given"}))
    assert found["mount"] == mounts


def test_macros(stage: Stage) -> None:
    found = stage.jk(
        "<Macro Site $name %w $names>\n<VirtualHost *:80>\n  ServerName $name.example\n"
        "  ServerAlias $names\n  Use Rules /$name %w\n</VirtualHost>\n</Macro>\n"
        "<Macro Rules $p @w>\nJkMount $p/* @w\n</Macro>\n"
        'use site a one "x.example y.example"\nUse Site b two z.example'
    )
    assert found["mount"] == {"/a/*": "one"}
    assert found["host"] == {"b.example": {"aliases": ["z.example"], "mount": {"/b/*": "two"}}}
    assert stage.errors() == []


def test_macros_that_are_odd(stage: Stage) -> None:
    found = stage.jk(
        "<Macro>\n</Macro>\n<Macro M>\nJkMount /a one\n</Macro>\n"
        "<Macro m>\nJkMount /b one\n</Macro>\nUse M"
    )
    assert found["mount"] == {"/b": "one"}
    assert any("it has no name" in said for said in stage.warnings())
    assert any("this one counts from here on" in said for said in stage.warnings())


def test_includes(stage: Stage) -> None:
    stage.write("conf.d/b.conf", "JkMount /b two")
    stage.write("conf.d/a.conf", "JkMount /a one")
    stage.write("conf.d/c.txt", "JkMount /c one")
    stage.write("all/x/deep", "JkMount /deep one")
    stage.write("host.inc", "JkMount /host two")
    found = stage.jk(
        "Include conf.d/*.conf\nInclude all\nIncludeOptional nowhere.conf\nInclude no/*.conf\n"
        "<VirtualHost *:81>\nServerName h\nInclude host.inc\n</VirtualHost>"
    )
    assert list(found["mount"]) == ["/a", "/b", "/deep"]
    assert found["host"]["h"]["mount"] == {"/host": "two"}
    assert stage.errors() == []
    assert [remark.place.file.rpartition("/")[2] for remark in stage.result.remarks][:1] == [
        "httpd.conf"
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Include nowhere.conf", "nowhere.conf is not here"),
        ("Include httpd.conf\nInclude httpd.conf", "would be in itself"),
        ("Include more", "these are more than 5 files"),
        ("<Macro M>\n</Macro>\n" + "Use M\n" * 22, "macros are used more than 20 times"),
        ("Include binary", "this is no text"),
        ("Use M y", "there is no macro M so far"),
        ("Use", "it names no macro"),
        ("<Macro M $x>\nJkMount $x one\n</Macro>\nUse M", "M takes 1 values, and has 0"),
        ("<Macro M>\nUse M\n</Macro>\nUse M", "macros use each other in a circle"),
    ],
)
def test_what_cannot_be_read(
    stage: Stage, line: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.write("binary", "JkMount\0 /b one")
    for number in range(9):
        stage.write(f"more/{number}", "ServerAdmin x")
    monkeypatch.setattr("ajpd.importing.reading.MAX_FILES", 5)
    monkeypatch.setattr("ajpd.importing.reading.MAX_USES", 20)
    found = stage.jk(f"JkMount /ok one\n{line}")
    assert any(words in said for said in stage.errors()), stage.errors()
    assert found["mount"] == {"/ok": "one"}


# --- where files are ------------------------------------------------------------------------------


def layout(stage: Stage, root: str) -> Path:
    """As Red Hat has it, at another place than where it says it is."""
    conf = stage.write(
        "copy/conf/httpd.conf",
        f'ServerRoot "{root}"\nInclude conf.d/*.conf\nJkMountFile {root}/conf/map.properties\n',
    )
    stage.write("copy/conf.d/jk.conf", "JkWorkersFile conf/workers.properties\nJkMount /a one\n")
    stage.write("copy/conf/workers.properties", WORKERS)
    stage.write("copy/conf/map.properties", "/m=one\n")
    return conf


def test_a_copy_of_another_machine(stage: Stage) -> None:
    conf = layout(stage, "/no/such/httpd")
    found = import_configuration([conf])
    assert found.is_good
    assert f'file = "{stage.folder}/copy/conf/workers.properties"' in found.text
    assert f'file = "{stage.folder}/copy/conf/map.properties"' in found.text
    assert '"/a" = "one"' in found.text


def test_the_root_that_is_said_counts_before_that_of_the_file(stage: Stage) -> None:
    """Both are there: what is written is on another machine, and by chance here as well."""
    other = stage.folder / "here"
    stage.write("here/conf/workers.properties", "worker.list=two\nworker.two.port=1\n")
    stage.write("here/conf/map.properties", "/m=two\n")
    conf = layout(stage, str(other))
    stage.write("here/conf.d/x.conf", "JkWorkersFile conf/workers.properties\nJkMount /b two\n")
    assert '"/b" = "two"' in import_configuration([conf]).text
    found = import_configuration([conf], Options(root=stage.folder / "copy"))
    assert found.is_good
    assert '"/a" = "one"' in found.text
    assert f'file = "{stage.folder}/copy/conf/map.properties"' in found.text


@pytest.mark.parametrize("main", ["apache2.conf", "httpd.conf", "conf/httpd.conf"])
def test_a_directory_of_apache(stage: Stage, main: str) -> None:
    stage.write(f"etc/{main}", "Include more/*.conf\n")
    stage.write("etc/more/jk.conf", "JkMount /a ajp13\n")
    stage.write("etc/other.conf", "JkMount /other ajp13\n")
    found = import_configuration([stage.folder / "etc"])
    assert '"/a" = "ajp13"' in found.text
    assert "/other" not in found.text


def test_a_directory_of_files(stage: Stage) -> None:
    stage.write("conf.d/b.conf", "JkMount /b one\n")
    stage.write("conf.d/workers.properties", WORKERS)
    stage.write("conf.d/README", "nothing\n")
    found = import_configuration([stage.folder / "conf.d"])
    assert found.is_good
    assert '"/b" = "one"' in found.text
    stage.write("sites/www.example.org", "JkMount /a ajp13\n")
    stage.write("sites/.hidden", "JkMount /h ajp13\n")
    found = import_configuration([stage.folder / "sites"])
    assert '"/a" = "ajp13"' in found.text
    assert "/h" not in found.text
    (stage.folder / "empty").mkdir()
    with pytest.raises(ValueError, match="there is no file to read"):
        import_configuration([stage.folder / "empty"])


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("x", "worker.list=a\n", Kind.WORKERS),
        ("x", "# c\n /a/*=b\n", Kind.MAP),
        ("x", "!/a = b\n", Kind.MAP),
        ("x", "JkMount /a b\n", Kind.APACHE),
        ("x", "<Location /a=b>\n", Kind.APACHE),
        ("x", "", Kind.APACHE),
        ("workers.properties", "", Kind.WORKERS),
        ("uriworkermap.properties", "", Kind.MAP),
        ("workers.properties_old", "# nothing\n", Kind.WORKERS),
    ],
)
def test_kinds(name: str, text: str, kind: Kind) -> None:
    assert kind_of(Path(name), text) is kind


def test_other_letters(stage: Stage) -> None:
    """Bytes that are no UTF-8, and what may not stand in TOML as it is."""
    (stage.folder / "w").write_text("worker.list=one\nworker.one.port=1\n")
    (stage.folder / "httpd.conf").write_bytes(
        b'JkWorkersFile w\nJkMount /caf\xe9 one\nJkMount "/a\\"b\x7f\x01" one\n'
    )
    found = import_configuration([stage.folder / "httpd.conf"])
    assert found.is_good
    stage.found = found
    assert str(stage.config().rules[0]) == "/café=one"


# --- everything else ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "level", "words"),
    [
        ("LoadModule a b", "note", "ajpd has no modules"),
        ("SSLSessionCache x", "note", "looks after its own TLS"),
        ("Alias /a /b", "warning", "serves no files"),
        ("SetHandler jakarta-servlet", "error", "JkWorkerIndicator names"),
        ("AddHandler cgi-script .cgi", "warning", "answers nothing itself"),
        ("Redirect / /x", "warning", "sends nobody elsewhere"),
        ("RewriteRule a b", "warning", "rewrites nothing"),
        ("Header set A b", "warning", "no headers"),
        ("AuthType Basic", "warning", "nobody is kept out"),
        ("ShibUseHeaders On", "warning", "nobody is kept out"),
        ("Require all granted", "note", "everybody"),
        ("<Directory />\nRequire all denied\n</Directory>", "note", "everybody"),
        ("<Proxy *>\nRequire ip 10.0.0.1\n</Proxy>", "warning", "nobody is kept out"),
        (
            "<Location />\nOrder deny,allow\nDeny from all\nAllow from all\n</Location>",
            "note",
            "everybody",
        ),
        ("<Location />\nDeny from all\n</Location>", "warning", "nobody is kept out"),
        ("SetEnvIf a b c", "warning", "no environment of Apache"),
        ("<Location />\nSetEnv a b\n</Location>", "warning", "no environment of Apache"),
        ("<If true>\n</If>", "note", "nothing but name and path"),
        ("JkLogFile/x/y", "warning", "JkLogFile with a blank behind it may be meant"),
        ("JkMuont /a b", "warning", "JkMount may be meant"),
        ("Frobnicate On", "warning", "no such directive is known"),
        ("\u00a0JkMount /a b", "warning", "no such directive is known"),
        ("RemoteIPHeader X-Real-IP", "warning", "X-Real-IP is not read"),
        ("RemoteIPTrustedProxy proxy.example", "warning", "is no network in numbers"),
        ("RemoteIPProxyProtocol On", "note", "trusted_proxies"),
        ("ServerName x", "note", "all names count"),
        ("<VirtualHost *:81>\nKeepAliveTimeout 5\n</VirtualHost>", "warning", "keepalive_timeout"),
        ("<Location /x>\nLimitRequestBody 5\n</Location>", "warning", "max_body_bytes"),
        ("ProxyRequests On", "warning", "never a forward proxy"),
        ("ProxyVia On", "note", "adds no Via"),
        ("ProxyPassReverse / http://x/", "note", "not needed"),
        ("ProxyPassInherit Off", "warning", "takes over"),
        ("ProxyPassInherit On", "note", "so it is in any case"),
        ("<Location /x>\nProxyErrorOverride On\n</Location>", "warning", "it counts inside"),
        ("ProxyErrorOverride On 500 503", "warning", "single statuses"),
    ],
)
def test_remarks(stage: Stage, line: str, level: str, words: str) -> None:
    stage.jk(f"JkMount /ok one\n{line}")
    found = [remark for remark in stage.result.remarks if words in remark.words]
    assert found, stage.said()
    assert {remark.level.value for remark in found} == {level}
    assert all((remark.place.line or 0) >= 3 for remark in found)
    assert stage.result.is_good


def test_trusted_proxies_add_up(stage: Stage) -> None:
    found = stage.jk(
        "JkMount /ok one\nRemoteIPTrustedProxy 10.0.0.0/8 ::1\nRemoteIPInternalProxy 192.0.2.1 ::1"
    )
    assert found["server"]["trusted_proxies"] == ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]


def test_a_directory_that_is_none_of_a_configuration(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ajpd.importing.sources.MAX_FILES", 2)
    for name in "abc":
        stage.write(f"many/x/{name}", "JkMount /a one")
    found = stage.jk("JkMount /ok one\nInclude many")
    assert found["mount"] == {"/ok": "one"}
    assert "it has more than 2 files" in stage.errors()[0]


def test_a_path_that_can_be_none(stage: Stage) -> None:
    stage.jk(f"JkMount /ok one\nInclude /{'x' * 5000}\nJkMountFile /{'y' * 300}\nInclude a/b*/../[")
    assert len(stage.errors()) == 2
    assert any("there is nothing to read" in note for note in stage.notes())
