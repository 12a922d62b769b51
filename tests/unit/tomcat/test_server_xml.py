"""What is read of a server.xml, where it stands, and what is refused."""

import time
from pathlib import Path

import pytest

from ajpd.config.errors import Findings
from ajpd.tomcat import server_xml as module
from ajpd.tomcat.pairs import port_of
from ajpd.tomcat.server_xml import ServerXml, read_properties, read_server_xml
from tests.unit.tomcat.stage import short

WHOLE = """\
<?xml version="1.0"?>
<!-- <Connector port="1" protocol="HTTP/1.1"/>
  <Connector port="8009"
     protocol="AJP/1.3"/> -->
<Server port="8005" portOffset="100">
  <Service name="one">
    <Connector port="8080"/>
    <Executor name="pool" maxThreads="7"/>
    <Connector
        port="${ajp.port:-8009}"   protocol='org.apache.coyote.ajp.AjpNioProtocol'
        executor="pool" secret="&quot;&#233;&gt;" address="${who}"/>
    <Engine jvmRoute="${route}-a"/>
  </Service>
  <Service name="two">
    <Connector protocol="ajp/1.3" port="9009" portOffset="1"/>
    <Engine><Host><Connector protocol="AJP/1.3" port="1"/></Host></Engine>
  </Service>
</Server>
"""


def read(path: Path, **properties: str) -> tuple[ServerXml | None, list[str]]:
    findings = Findings()
    found = read_server_xml(str(path), findings, properties)
    return found, [short(error.located) for error in findings.errors]


def written(folder: Path, text: str | bytes, name: str = "server.xml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_connectors_of_all_services(tmp_path: Path) -> None:
    found, errors = read(written(tmp_path, WHOLE), route="r")
    assert found is not None
    assert errors == []
    assert found.commented == 3
    first, second = found.connectors
    assert (port_of(first), port_of(second)) == (8109, 9109)
    assert first.element.text("secret") == '"é>'
    assert first.element.text("address") is None
    assert first.element.text("maxThreads", "x") == "x"
    assert first.executor is not None
    assert first.executor.text("maxThreads") == "7"
    assert first.engine is not None
    assert first.engine.text("jvmRoute") == "r-a"
    assert second.executor is None
    assert second.engine is not None
    assert second.engine.get("jvmRoute") is None


def test_every_attribute_has_its_line(tmp_path: Path) -> None:
    found, _ = read(written(tmp_path, WHOLE))
    assert found is not None
    element = found.connectors[0].element
    places = {name: element.where(name)[1:] for name in ("port", "protocol", "secret", "missing")}
    assert places == {"port": (10, 9), "protocol": (10, 36), "secret": (11, 25), "missing": (9, 5)}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_told_by_elements(tmp_path: Path, encoding: str) -> None:
    text = "\ufeff" + WHOLE.replace('version="1.0"', 'version="1.0" encoding="UTF-16"')
    found, errors = read(written(tmp_path, text.encode(encoding)))
    assert errors == []
    assert found is not None
    assert found.connectors[0].element.where("port").line == 9


def test_properties_come_from_catalina_properties_too(tmp_path: Path) -> None:
    text = "#a=b\n who = 10.0.0.1 \nroute=x\nnothing\n"
    written(tmp_path, text, "catalina.properties")
    assert read_properties(tmp_path / "catalina.properties") == {"who": "10.0.0.1", "route": "x"}
    found, _ = read(written(tmp_path, WHOLE), route="y")
    assert found is not None
    assert found.connectors[0].element.text("address") == "10.0.0.1"
    assert found.connectors[0].engine is not None
    assert found.connectors[0].engine.text("jvmRoute") == "y-a"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('<!DOCTYPE s [<!ENTITY x "y">]>\n<Server a="&x;"/>', "1: declares the entity 'x'"),
        (
            '<!DOCTYPE s [\n<!ENTITY x SYSTEM "/etc/passwd">]>\n<Server>&x;</Server>',
            "2: declares the entity 'x'",
        ),
        ('<!DOCTYPE s [<!ENTITY % x SYSTEM "http://h/">%x;]><Server/>', "declares the entity 'x'"),
        ("<Server><Service></Server>", "1:20: is no XML: mismatched tag"),
        ("<Server>\n&nbsp;</Server>", "2:1: is no XML: undefined entity"),
        ("", "1:1: is no XML: no element found"),
        ("port=8009\n", "is no XML"),
        ("<Context/>", "1: is no server.xml: its root is not <Server>"),
        ("<a><Server/></a>", "1: is no server.xml"),
        (
            b'<?xml version="1.0" encoding="no-such"?><Server/>',
            "is no XML that can be read here: unknown encoding: no-such",
        ),
        (b"<Server a='\xff'/>", "is no XML: not well-formed"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str | bytes, why: str) -> None:
    found, errors = read(written(tmp_path, text))
    assert found is None
    assert len(errors) == 1
    assert errors[0].startswith("server.xml:")
    assert why in errors[0]


def test_a_doctype_that_declares_nothing_is_none_of_our_business(tmp_path: Path) -> None:
    found, errors = read(written(tmp_path, '<!DOCTYPE Server SYSTEM "no-such.dtd"><Server/>'))
    assert found is not None
    assert errors == []


def test_a_billion_laughs_take_no_time(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<!DOCTYPE s [<!ENTITY l0 "ha">{laughs}]><Server a="&l9;"/>'
    began = time.monotonic()
    found, errors = read(written(tmp_path, text))
    assert found is None
    assert "declares the entity" in errors[0]
    assert time.monotonic() - began < 5


def test_files_that_are_not_there_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, errors = read(tmp_path / "none.xml")
    assert found is None
    assert "cannot be read: No such file" in errors[0]
    assert "cannot be read" in read(tmp_path)[1][0]
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    assert "more than 10 bytes" in read(written(tmp_path, WHOLE))[1][0]


def test_huge_tags_take_no_time(tmp_path: Path) -> None:
    many = " ".join(f"a{number}='1'" for number in range(200_000))
    text = f"<Server><Service><Connector protocol='AJP/1.3' {many}/></Service></Server>"
    began = time.monotonic()
    found, errors = read(written(tmp_path, text))
    assert errors == []
    assert found is not None
    place = found.connectors[0].element.where("a199999")
    assert (place.line, place.column) == (1, text.index("a199999=") + 1)
    assert time.monotonic() - began < 10


def test_lines_go_on_behind_values_of_several_lines(tmp_path: Path) -> None:
    connector = "\n  <Connector protocol='AJP/1.3' a='1\n2\n3' b='4'\n  c='5'/>"
    text = f"<Server><Service>{connector}</Service></Server>"
    found, _ = read(written(tmp_path, text))
    assert found is not None
    element = found.connectors[0].element
    assert [element.where(name)[1:] for name in ("protocol", "a", "b", "c")] == [
        (2, 14),
        (2, 33),
        (4, 4),
        (5, 3),
    ]
