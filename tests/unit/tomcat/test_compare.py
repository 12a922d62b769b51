"""Each attribute that has to fit: what is said where it does not, and nothing where it does."""

from dataclasses import replace
from pathlib import Path

import pytest

from ajpd.config.model import TlsConfig
from tests.unit.tomcat.stage import (
    BALANCER,
    ENGINE_LINE,
    FITS,
    LINE,
    configuration,
    said,
    server_xml,
)

AT = f"server.xml:{LINE}:"
POOL = "(connection_pool_size 50 in 1 process"
UNIX = 'unixDomainSocketPath="/run/a" secret="s3cret"'
OPEN = 'port="8009" secretRequired'
IDLE = f"{FITS} keepAliveTimeout"


def test_what_fits_is_not_mentioned(tmp_path: Path) -> None:
    assert said(configuration(tmp_path), server_xml(tmp_path)) == ([], [])


@pytest.mark.parametrize(
    ("connector", "worker", "error"),
    [
        ('port="8010" secret="s3cret"', "", 'port 8010 (n1 localhost:8009); write port="8009"'),
        ('secret="s3cret"', "", "no worker leads to this connector on port -1"),
        ('port="x" secret="s3cret"', "", "the port of this connector is not known"),
        (f'{FITS} address="::1"', 'host = "127.0.0.1"', '::1 alone; write address="127.0.0.1"'),
        (FITS, 'host = "10.0.0.1"', 'on 127.0.0.1 alone; write address="10.0.0.1"'),
        (f'{FITS} address="10.0.0.1"', "", 'on 10.0.0.1 alone; write address="127.0.0.1"'),
        ('port="8009" secret="S3cret"', "", 'another secret than that of worker n1: all'),
        ('port="8009"', "", 'answers nothing: secretRequired is true; write secret="…"'),
        ('port="8009" secret=""', "", "without a secret this connector answers nothing"),
        ('port="8009" secretRequired="1"', "", ""),
        (f'{FITS} packetSize="65536"', "", 'large answers break off; write packetSize="8192"'),
        (FITS, "max_packet_size = 65536", 'and uploads fail; write packetSize="65536"'),
        (f'{FITS} packetSize="lots"', "", "packetSize: 'lots' is no number"),
        (f'{FITS} unixDomainSocketPath="/run/a"', "", "no worker leads to this connector"),
        (UNIX, 'host = "unix:/run/b"', "no worker leads to this connector"),
        (UNIX, 'host = "unix:/run/a"', ""),
    ],
)  # fmt: skip
def test_errors(tmp_path: Path, connector: str, worker: str, error: str) -> None:
    config = configuration(tmp_path, worker=worker)
    errors, _ = said(config, server_xml(tmp_path, connector))
    if not error:
        assert errors == []
        return
    (only,) = errors
    assert only.startswith(AT)
    assert error in only
    assert "s3cret" not in only.lower()


@pytest.mark.parametrize(
    ("connector", "worker", "warning"),
    [
        (f'{FITS} address="0.0.0.0"', 'host = "10.0.0.1"', ""),
        (f'{FITS} address="::"', 'host = "tomcat1"', ""),
        (f'{FITS} address="10.0.0.2"', 'host = "10.0.0.1"', "unless addresses are translated"),
        (f'{FITS} address="tomcat1"', 'host = "10.0.0.1"', ""),
        (FITS, 'host = "tomcat1"', 'only; write address="…" with the address of tomcat1'),
        (f'{OPEN}="false" address="0.0.0.0"', "", "no secret, so whoever reaches this port may"),
        (f'{OPEN}="FALSE"', "", ""),
        (f'{OPEN}="no"', "", "='no' is neither true nor false, and counts as false"),
        ('port="8009" requiredSecret="s3cret"', "", "requiredSecret is the old name of secret"),
        (f'{FITS} packetSize="100"', "", "packetSize 100 counts as 8192, the least"),
        (f'{FITS} packetsize="100"', "", "no packetsize and ignores it (did you mean"),
        (f'{FITS} packet_size="100"', "", "(did you mean 'packetSize'?)"),
        (f'{FITS} maxHttpHeaderSize="65536"', "", "means nothing to AJP: heads have"),
        (f'{FITS} compression="on" socket.soKeepAlive="true"', "", ""),
        (f'{FITS} maxThreads="49"', "", f"up to 50 requests at a time {POOL}), and max"),
        (f'{FITS} maxThreads="49"', "", 'the rest waits in Tomcat; write maxThreads="50"'),
        (f'{FITS} maxThreads="49"', "busy_limit = 49", ""),
        (f'{FITS} maxThreads="-1"', "", ""),
        (f'{FITS} executor="none"', "", ""),
        (f'{FITS} maxConnections="50"', "", f"up to 51 connections {POOL}, and a probe), and max"),
        (f'{FITS} maxConnections="50"', "", 'are not answered; write maxConnections="51"'),
        (f'{FITS} maxConnections="-1"', "", ""),
        (f'{IDLE}="60000"', "", "closes idle connections after 60000 ms, worker n1 never; write"),
        (f'{IDLE}="60000"', "", '"-1", or connection_pool_timeout of 60 s there'),
        (f'{FITS} connectionTimeout="20000"', "", "Tomcat closes idle connections after 20000 ms"),
        (f'{FITS} connectionTimeout="20000" keepAliveTimeout="-1"', "", ""),
        (f'{IDLE}="60000"', 'connection_pool_timeout = "90s"', "n1 after 90000 ms; write keepA"),
        (f'{IDLE}="60000"', 'connection_pool_timeout = "30s"', ""),
        (f'{IDLE}="60000"', 'connection_ping_interval = "30s"', ""),
        (f'{IDLE}="60"', 'connection_ping_interval = "10ms"', "60 is in milliseconds; write"),
        (f'{FITS} URIEncoding="ISO-8859-1"', "", ""),
    ],
)  # fmt: skip
def test_warnings(tmp_path: Path, connector: str, worker: str, warning: str) -> None:
    config = configuration(tmp_path, worker=worker)
    errors, warnings = said(config, server_xml(tmp_path, connector))
    assert errors == []
    if not warning:
        assert warnings == []
        return
    (only,) = warnings
    assert only.startswith(AT)
    assert warning in only


def test_an_executor_has_the_threads(tmp_path: Path) -> None:
    path = server_xml(tmp_path, f'{FITS} executor="small" maxThreads="500"')
    errors, (only,) = said(configuration(tmp_path), path)
    assert errors == []
    assert only.startswith("server.xml:4:")
    assert "and maxThreads is 20" in only
    path.write_text(path.read_text().replace("<Executor ", '<Executor className="x.Virtual" '))
    assert said(configuration(tmp_path), path) == ([], [])


def test_a_worker_without_the_secret_is_the_one_to_change(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    (tmp_path / "ajpd.toml").write_text('[worker.n1]\n[mount]\n"/*" = "n1"\n')
    config = configuration(tmp_path, (tmp_path / "ajpd.toml").read_text())
    errors, _ = said(config, server_xml(tmp_path))
    assert len(errors) == 1
    assert "worker n1 sends no secret and this connector wants one: all 403" in errors[0]
    assert "ajpd.toml:1, secret = …" in errors[0]


def test_pools_of_all_processes_and_workers_count(tmp_path: Path) -> None:
    more = "[worker.n1too]\nport = 8009\nconnection_pool_size = 10\nsecret = 's3cret'\n"
    config = configuration(tmp_path, more=more)
    path = server_xml(tmp_path, f'{FITS} maxThreads="55" maxConnections="60"')
    errors, warnings = said(config, path)
    assert errors == []
    assert [warning.partition(" (")[0] for warning in warnings] == [
        f"{AT}63: workers n1, n1too: up to 60 requests at a time",
        f"{AT}79: workers n1, n1too: up to 61 connections",
    ]


ATTRIBUTES = '[attributes]\n"remote.group" = "header:X-Group"\nSITE = "value:a"\n'


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        ("", "remote.group, SITE"),
        ('allowedRequestAttributesPattern="SITE"', "remote.group"),
        ('allowedRequestAttributesPattern="SITE|remote\\.group"', ""),
        ('allowedRequestAttributesPattern=".*"', ""),
    ],
)
def test_attributes_have_to_be_allowed(tmp_path: Path, pattern: str, refused: str) -> None:
    config = configuration(tmp_path, more=ATTRIBUTES)
    errors, warnings = said(config, server_xml(tmp_path, f"{FITS} {pattern}"))
    assert warnings == []
    if refused:
        (only,) = errors
        assert f"{refused} of [attributes] is not allowed: requests with it get 403" in only
        assert 'write allowedRequestAttributesPattern="remote\\.group|SITE"' in only
    else:
        assert errors == []


def test_a_pattern_that_only_java_knows(tmp_path: Path) -> None:
    path = server_xml(tmp_path, f'{FITS} allowedRequestAttributesPattern="[A-Z&amp;&amp;[^B]]"')
    _, warnings = said(configuration(tmp_path, more=ATTRIBUTES), path)
    assert any("cannot be compared with [attributes]" in warning for warning in warnings)


def test_rules_with_foreign_letters_need_utf_8(tmp_path: Path) -> None:
    config = configuration(tmp_path, more='"/größe/*" = "n1"\n')
    _, (only,) = said(config, server_xml(tmp_path, f'{FITS} URIEncoding="ISO-8859-1"'))
    assert "is compared as it is written, and Tomcat reads ISO-8859-1" in only
    assert 'write URIEncoding="UTF-8"' in only
    assert said(config, server_xml(tmp_path, f'{FITS} URIEncoding="utf-8"')) == ([], [])


@pytest.mark.parametrize(
    ("engine", "error"),
    [
        ('jvmRoute="n1"', ""),
        ('jvmRoute="x"', "route n1 in balancer lb, and jvmRoute is x: sessions made here are not"),
        ("", "the Engine has no jvmRoute: unless java is started with -DjvmRoute"),
    ],
)  # fmt: skip
def test_routes(tmp_path: Path, engine: str, error: str) -> None:
    config = configuration(tmp_path, BALANCER)
    path = server_xml(tmp_path, f'{FITS} address="10.0.0.1"', engine)
    errors, warnings = said(config, f"n1={path}")
    assert warnings == []
    if not error:
        assert errors == []
        return
    (only,) = errors
    assert only.startswith(f"server.xml:{ENGINE_LINE}:")
    assert error in only
    assert only.endswith('write <Engine … jvmRoute="n1">')


def test_a_route_that_leads_nobody_is_not_compared(tmp_path: Path) -> None:
    text = BALANCER.replace('type = "lb"', 'type = "lb"\nsticky_session = false')
    path = server_xml(tmp_path, f'{FITS} address="10.0.0.1"')
    assert said(configuration(tmp_path, text), f"n1={path}") == ([], [])


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("port", "${a}"),
        ("address", "${a}"),
        ("secret", "${a}"),
        ("packetSize", "${a}"),
        ("maxThreads", "${a}"),
        ("connectionTimeout", "${a}"),
        ("tomcatAuthentication", "${a}"),
    ],
)
def test_what_only_that_tomcat_knows(tmp_path: Path, name: str, raw: str) -> None:
    written = FITS.split() if name not in ("port", "secret") else [
        word for word in FITS.split() if not word.startswith(name)
    ]  # fmt: skip
    path = server_xml(tmp_path, " ".join([*written, f'{name}="{raw}"']))
    errors, warnings = said(configuration(tmp_path), f"n1={path}")
    assert errors == []
    assert len(warnings) == 1
    assert (
        f"{name} is ${{a}}, which only that Tomcat knows: say it with --property a=…" in warnings[0]
    )


def test_unix_sockets(tmp_path: Path) -> None:
    unix = configuration(tmp_path, worker='host = "unix:/run/a"')
    (only,), _ = said(unix, f"n1={server_xml(tmp_path, FITS)}")
    assert 'looks for the socket /run/a; write unixDomainSocketPath="/run/a"' in only
    (only,), _ = said(configuration(tmp_path), f"n1={server_xml(tmp_path, UNIX)}")
    assert "this connector listens on a Unix socket only" in only
    (tmp_path / "plain.xml").write_text("<Server/>")
    (only,), _ = said(unix, tmp_path / "plain.xml")
    assert only.endswith('protocol="AJP/1.3" unixDomainSocketPath="/run/a" secret="…" />')


def test_a_connector_without_a_port(tmp_path: Path) -> None:
    path = server_xml(tmp_path, 'secret="s3cret"')
    (only,), _ = said(configuration(tmp_path), f"n1={path}")
    assert 'this connector has no port; write port="8009"' in only


@pytest.mark.parametrize(
    ("attributes", "is_said"),
    [
        ("", True),
        ('tomcatAuthentication="true"', True),
        ('tomcatAuthentication="false"', False),
        ('tomcatAuthorization="true"', False),
        ('tomcatAuthorization="${a}"', False),
    ],
)
def test_users_of_certificates(tmp_path: Path, attributes: str, is_said: bool) -> None:
    tls = TlsConfig(listen=(), pairs=(), remote_user=b"CN")
    config = replace(configuration(tmp_path), tls=tls)
    errors, warnings = said(config, server_xml(tmp_path, f"{FITS} {attributes}"))
    assert errors == []
    found = [each for each in warnings if "Tomcat does not look at it" in each]
    assert bool(found) is is_said
    assert all(each.endswith('write tomcatAuthentication="false"') for each in found)
