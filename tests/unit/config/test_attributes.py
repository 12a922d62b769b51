"""`[attributes]`: sources, names that are refused, headers that no client may send."""

import re
from pathlib import Path

import pytest

from ajpd.config.attributes import canonical, parse_attribute, spoofable, tomcat_pattern
from ajpd.config.errors import Findings, Place
from ajpd.config.load import load_toml
from ajpd.config.model import AttributeRule, Config

HERE = Place("f", 1)


def parse(name: str, text: str) -> tuple[AttributeRule | None, list[str]]:
    findings = Findings()
    rule = parse_attribute(name, text, findings, place=HERE)
    return rule, [str(error) for error in findings.errors]


def rule(name: str, text: str) -> AttributeRule:
    found, errors = parse(name, text)
    assert not errors
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "source", "key", "default"),
    [
        ("header:X-Tenant", "header", b"x-tenant", None),
        ("header:X_Tenant", "header", b"x-tenant", None),
        ("header:X-Tenant|none", "header", b"x-tenant", b"none"),
        ("header:X-Tenant|", "header", b"x-tenant", b""),
        ("certificate:S_DN_CN", "certificate", b"s_dn_cn", None),
        ("certificate:SSL_CLIENT_VERIFY|NONE", "certificate", b"verify", b"NONE"),
        ("value:a|b:c", "value", b"a|b:c", None),
        ("value:", "value", b"", None),
        ("value:grün", "value", "grün".encode(), None),
    ],
)
def test_sources(text: str, source: str, key: bytes, default: bytes | None) -> None:
    found = rule("X.y-z", text)
    assert (found.name, found.source, found.key, found.default) == (b"X.y-z", source, key, default)
    assert found.place == HERE


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("a", "text", "'text' is none of \"header:NAME\", \"certificate:FIELD\", \"request:id\", "
         "\"request:trace\" or \"value:TEXT\" (did you mean 'value:text'?)"),
        ("a", "heeder:X", "(did you mean 'header'?)"),
        ("a", "header:", "'' is no name of a header"),
        ("a", "header:X Y", "'X Y' is no name of a header"),
        ("a", "header:Cookie", "the header 'Cookie' belongs to the client"),
        ("a", "header:content_length", "belongs to the client"),
        ("a", "certificate:S_DM_CN", "'S_DM_CN' is no field of a certificate "
         "(did you mean 'S_DN_CN'?)"),
        ("a", "value:" + "x" * 4097, "at most 4096 bytes, this one has 4097"),
        ("a", "header:X|\0", "cannot hold a NUL"),
        ("a", "request:name", "request:name: a request has an id and a trace"),
        ("a b", "value:x", "a name has letters, digits and _ . - : / only"),
        ("", "value:x", "a name has letters"),
        ('a"b', "value:x", "a name has letters"),
        ("AJP_REMOTE_PORT", "value:1", "containers are told this anyway"),
        ("jk_lb_activation", "value:1", "containers are told this anyway"),
        ("javax.servlet.include.servlet_path", "value:/x", "mean something to Tomcat itself"),
        ("jakarta.servlet.request.key_size", "value:1", "mean something to Tomcat itself"),
        ("org.apache.catalina.jsp_file", "value:/x", "mean something to Tomcat itself"),
        ("User_Agent", "value:x", "clients could not send the header of this name any more"),
        ("host", "value:x", "clients could not send the header of this name any more"),
    ],
)  # fmt: skip
def test_refusals(name: str, text: str, error: str) -> None:
    found, errors = parse(name, text)
    assert found is None
    assert len(errors) == 1
    assert errors[0].startswith(f"f:1: attribute {name!r}: ")
    assert error in errors[0]


def test_names_are_compared_without_case_and_with_one_dash() -> None:
    assert canonical("X_Remote-User") == canonical(b"x-REMOTE_user") == b"x-remote-user"


def test_headers_that_no_client_may_send() -> None:
    rules = [
        rule("REMOTE_MAIL", "header:X-Mail"),
        rule("Tenant", "value:t"),
        rule("cert.name", "certificate:S_DN"),
    ]
    assert spoofable(rules) == {b"x-mail", b"remote-mail", b"tenant", b"cert.name"}
    assert spoofable([]) == frozenset()


def test_the_pattern_for_tomcat_matches_these_names_and_no_others() -> None:
    names = ["SSL_CLIENT_S_DN", "a.b", "urn:oid:1.2", "x-y/z"]
    pattern = tomcat_pattern([rule(name, "value:") for name in [*names, "a.b"]])
    assert pattern == r"SSL_CLIENT_S_DN|a\.b|urn:oid:1\.2|x-y/z"
    assert all(re.fullmatch(pattern, name) for name in names)
    for other in ("aXb", "a.bc", "xa.b", "SSL_CLIENT_S_DN_CN", ""):
        assert not re.fullmatch(pattern, other)


def load(folder: Path, text: str) -> Config:
    file = folder / "ajpd.toml"
    file.write_text('[worker.w]\n[mount]\n"/*" = "w"\n' + text)
    return load_toml(file, env={})


def test_rules_keep_their_order_and_their_lines(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[server]\ntrusted_proxies = ["127.0.0.1"]\n[attributes]\nb = "value:1"\n"a.c" = '
        '"header:X-A"\n',
    )
    assert [(each.name, each.place.line) for each in config.attributes] == [(b"b", 7), (b"a.c", 8)]
    assert not config.warnings


def test_rules_that_never_have_a_value_are_told(tmp_path: Path) -> None:
    config = load(tmp_path, '[attributes]\na = "header:X"\nb = "certificate:S_DN|none"\n')
    file = tmp_path / "ajpd.toml"
    assert [str(warning) for warning in config.warnings] == [
        f"{file}:5: attribute 'a': the header is believed from nobody, see trusted_proxies in "
        "[server]",
        f"{file}:6: attribute 'b': no client is asked for a certificate, see client_verify in "
        "[tls]",
    ]
