"""Whatever stands in a server.xml: one line for each thing, no traceback, no secret."""

from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ajpd.config.errors import Findings
from ajpd.tomcat.check import check_servers
from tests.unit.tomcat.stage import BALANCER, SERVER, WORKER, configuration

SECRET = "s3cret-of-theirs"

NAMES = st.sampled_from(
    [
        *("port", "address", "packetSize", "secret", "secretRequired", "maxThreads", "executor"),
        *("maxConnections", "keepAliveTimeout", "connectionTimeout", "tomcatAuthentication"),
        *("allowedRequestAttributesPattern", "URIEncoding", "unixDomainSocketPath", "portOffset"),
        *("packetsize", "maxHttpHeaderSize", "requiredSecret", "x"),
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        ["8009", "-1", "0", "true", "::1", "0.0.0.0", "10.0.0.1", "small", "${a}", "("]
    ),
    st.integers(-(10**12), 10**12).map(str),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20),
    st.just("1\n2"),
)


@given(
    attributes=st.dictionaries(NAMES, VALUES, max_size=8),
    route=st.none() | VALUES,
    is_balanced=st.booleans(),
    whose=st.sampled_from(["", "n1=", "nobody="]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_attributes(
    tmp_path: Path,
    attributes: dict[str, str],
    route: str | None,
    is_balanced: bool,
    whose: str,
) -> None:
    config = configuration(
        tmp_path, BALANCER if is_balanced else WORKER, more='[attributes]\nA = "value:x"\n'
    )
    written = {"secret": SECRET, **attributes}
    connector = " ".join(f"{name}={quoteattr(value)}" for name, value in written.items())
    engine = "" if route is None else f"jvmRoute={quoteattr(route)}"
    path = tmp_path / "server.xml"
    path.write_text(SERVER.format(connector=connector, engine=engine), encoding="utf-8")
    findings = Findings()
    said = check_servers(config, [f"{whose}{path}"], {}, findings)
    lines = [each.located for each in (*findings.errors, *findings.warnings)]
    assert said or lines
    for line in lines:
        assert line.startswith(f"{path}")
        assert "\n" not in line
        assert SECRET not in line
        assert "s3cret" not in line


@given(data=st.binary(max_size=200) | st.text(st.sampled_from("<>&;!/'\"= ServrConctENIY[]%x")))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("inside", [False, True])
def test_any_bytes(tmp_path: Path, data: bytes | str, inside: bool) -> None:
    raw = data if isinstance(data, bytes) else data.encode()
    path = tmp_path / "server.xml"
    path.write_bytes(b"<Server><Service>%s</Service></Server>" % raw if inside else raw)
    findings = Findings()
    assert check_servers(configuration(tmp_path), [str(path)], {}, findings) == []
    assert len(findings.errors) == 1
