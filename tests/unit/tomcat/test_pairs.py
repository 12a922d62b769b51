"""Whose connector it is."""

from pathlib import Path

import pytest

from ajpd.cli import main
from tests.unit.tomcat.stage import BALANCER, FITS, WORKER, configuration, said, server_xml


def test_one_port_and_two_containers(tmp_path: Path) -> None:
    config = configuration(tmp_path, BALANCER)
    (only,), _ = said(config, path := server_xml(tmp_path, f'{FITS} address="0.0.0.0"'))
    assert "workers n1, n2 all look for this port" in only
    assert f"say it with --server-xml n1={path}" in only
    fine = f'{FITS} address="0.0.0.0"'
    assert said(config, server_xml(tmp_path, fine, 'jvmRoute="second"')) == ([], [])
    errors, _ = said(config, server_xml(tmp_path, f'{FITS} address="10.0.0.2"', 'jvmRoute="x"'))
    assert "worker n2: route second in balancer lb, and jvmRoute is x" in errors[0]


def test_each_file_has_its_container(tmp_path: Path) -> None:
    config = configuration(tmp_path, BALANCER)
    first = server_xml(tmp_path, f'{FITS} address="0.0.0.0"', 'jvmRoute="n1"', "one.xml")
    second = server_xml(tmp_path, f'{FITS} address="0.0.0.0"', 'jvmRoute="n1"', "two.xml")
    errors, _ = said(config, first, f"n2={second}")
    (only,) = errors
    assert only.startswith("two.xml:7:")
    assert "route second in balancer lb, and jvmRoute is n1" in only


def test_a_name_of_nobody(tmp_path: Path) -> None:
    (only,), _ = said(configuration(tmp_path, BALANCER), f"n3={server_xml(tmp_path)}")
    assert "'n3' is the name of no worker" in only


def test_the_only_connector_is_compared_whatever_its_port(tmp_path: Path) -> None:
    path = server_xml(tmp_path, 'port="8010" secret="s3cret"')
    (only,), _ = said(configuration(tmp_path), f"n1={path}")
    assert 'looks for port 8009, and this connector listens on 8010; write port="8009"' in only


def test_several_connectors_and_none_is_it(tmp_path: Path) -> None:
    path = server_xml(tmp_path, 'port="1" />\n<Connector protocol="AJP/1.3" port="2"')
    (only,), _ = said(configuration(tmp_path), f"n1={path}")
    assert "no AJP connector is at localhost:8009" in only
    assert "there are 1, 2" in only
    errors, _ = said(configuration(tmp_path), path)
    assert len(errors) == 2


def test_other_connectors_are_nobodys_business(tmp_path: Path) -> None:
    path = server_xml(tmp_path, f'{FITS} />\n<Connector protocol="AJP/1.3" port="2"')
    assert said(configuration(tmp_path), path) == ([], [])


@pytest.mark.parametrize("is_commented", [True, False])
def test_a_tomcat_as_it_is_shipped(tmp_path: Path, is_commented: bool) -> None:
    path = tmp_path / "server.xml"
    comment = '<!--\n  <Connector protocol="AJP/1.3"\n port="8009"/> -->' if is_commented else ""
    path.write_text(f'<Server>\n<Service>{comment}<Connector port="80"/></Service></Server>')
    config = configuration(tmp_path, worker="max_packet_size = 16384")
    (only,), _ = said(config, path)
    assert only.startswith("server.xml:3: no connector speaks AJP: the one" if is_commented else "")
    assert (
        'write <Connector protocol="AJP/1.3" port="8009" address="…" packetSize="16384" '
        'secret="…" />'
    ) in only


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration(tmp_path)
    path = server_xml(tmp_path, 'port="${ajp}" secret="s3cret" maxThreads="20"')
    words = ["check", "-c", str(tmp_path / "ajpd.toml"), "--server-xml", str(path)]
    assert main(words) == 1
    assert "ajpd: 1 error" in capsys.readouterr().err
    assert main([*words, "--property", "ajp=8009"]) == 0
    out, err = capsys.readouterr()
    assert f"ok: {path}: the connector at port 8009 is that of worker n1" in out
    assert err.startswith(f"warning: {path}:6:65: worker n1: up to 50 requests")
    assert err.count("\n") == 1
    with pytest.raises(SystemExit):
        main([*words, "--property", "ajp"])


def test_the_protocol_has_one_spelling(tmp_path: Path) -> None:
    path = server_xml(tmp_path)
    path.write_text(path.read_text().replace("AJP/1.3", "ajp/1.3"))
    (only,), _ = said(configuration(tmp_path), path)
    assert "protocol ajp/1.3 is the name of a class to Tomcat" in only
    assert only.endswith('write protocol="AJP/1.3"')


def test_a_name_with_an_equals_sign(tmp_path: Path) -> None:
    path = server_xml(tmp_path, name="a=b.xml")
    assert said(configuration(tmp_path), path) == ([], [])


@pytest.mark.parametrize("whose", ["", "n1="])
def test_the_port_of_browsers_is_not_that_of_web_servers(tmp_path: Path, whose: str) -> None:
    config = configuration(tmp_path, WORKER.replace("8009", "8080"))
    (only,), _ = said(config, f"{whose}{server_xml(tmp_path)}")
    assert only.startswith("server.xml:5:")
    assert "worker n1: looks for port 8080, where HTTP/1.1 is spoken and not AJP" in only
    assert only.endswith("write port = 8009 in the worker")
    path = tmp_path / "plain.xml"
    path.write_text('<Server><Service><Connector port="8080"/></Service></Server>')
    (only,), _ = said(config, f"{whose}{path}")
    assert only.endswith("where HTTP/1.1 is spoken and not AJP")


def test_one_tomcat_under_two_names(tmp_path: Path) -> None:
    more = "[worker.too]\nhost = '127.0.0.1'\nport = 8009\nsecret = 'other'\n"
    (only,), _ = said(configuration(tmp_path, more=more), server_xml(tmp_path))
    assert "another secret than that of worker too" in only


def test_a_file_that_cannot_be_read_is_one_of_several(tmp_path: Path) -> None:
    errors, _ = said(configuration(tmp_path), tmp_path / "no.xml", server_xml(tmp_path, 'port="1"'))
    assert [error.partition(":")[0] for error in errors] == ["no.xml", "server.xml"]


def test_several_workers_and_no_connector(tmp_path: Path) -> None:
    (tmp_path / "plain.xml").write_text("<Server/>")
    (only,), _ = said(configuration(tmp_path, BALANCER), tmp_path / "plain.xml")
    assert only.endswith('<Connector protocol="AJP/1.3" port="8009" address="…" secret="…" />')
