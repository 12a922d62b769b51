"""`[attributes]`: what containers are told about a request beside its headers.

The successor of mod_jk's JkEnvVar, which takes any variable of httpd's environment. Here a value
comes from a header that a trusted proxy sets, from the client's verified certificate, or from the
file itself; and no client may send a header that could be taken for one of them.

Source: mod_jk `JkEnvVar`; Tomcat `AjpProcessor.prepareRequest` for what its connector accepts.
"""

import re
from collections.abc import Iterable
from typing import Final

from ajpd.client_certificate import FIELDS, field_named

from .errors import Findings, Place, suggest
from .model import AttributeRule

__all__ = ["canonical", "header_refusal", "parse_attribute", "spoofable", "tomcat_pattern"]

#: Larger than any sensible constant, and small enough for the smallest packet.
MAX_VALUE_LEN: Final = 4096

_NAME: Final = re.compile(r"[A-Za-z0-9_./:-]+")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`~0-9A-Za-z-]+")
_SENT_ANYWAY: Final = frozenset(
    ("AJP_REMOTE_PORT", "AJP_LOCAL_ADDR", "AJP_SSL_PROTOCOL", "JK_LB_ACTIVATION")
)
_TOMCATS_OWN: Final = ("javax.servlet.", "jakarta.servlet.", "org.apache.")
#: Headers that browsers send or that frame a message: nobody may take them away.
_EVERYBODYS: Final = frozenset(
    (
        *("accept", "accept-charset", "accept-encoding", "accept-language", "authorization"),
        *("cache-control", "connection", "content-encoding", "content-length", "content-type"),
        *("cookie", "date", "expect", "from", "host", "if-match", "if-modified-since"),
        *("if-none-match", "if-range", "if-unmodified-since", "keep-alive", "origin", "pragma"),
        *("range", "referer", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"),
        *("via", "x-requested-with"),
    )
)
_FORM: Final = '"header:NAME", "certificate:FIELD", "request:id", "request:trace" or "value:TEXT"'


def canonical(name: str | bytes) -> bytes:
    """A header's or an attribute's name as names are compared.

    In lower case, and `-` for `_`: CGI and many frameworks make `X_User` and `X-User` one name.
    """
    raw = name.encode("latin-1") if isinstance(name, str) else name
    return raw.lower().replace(b"_", b"-")


def parse_attribute(
    name: str, text: str, findings: Findings, *, place: Place
) -> AttributeRule | None:
    """Read one line of `[attributes]`; what is wrong goes to `findings`, and is None."""
    problem = _refusal(name)
    if problem:
        findings.error(place, f"attribute {name!r}: {problem}", directive=name)
        return None
    source, _, rest = text.partition(":")
    try:
        if source == "header":
            return _from_header(name, rest, place)
        if source == "certificate":
            return _from_certificate(name, rest, place)
        if source == "request":
            return _from_request(name, rest, place)
        if source == "value":
            return AttributeRule(
                name=name.encode(), source="value", key=_bounded(rest), place=place
            )
    except ValueError as exc:
        hint = suggest(rest, FIELDS) if source == "certificate" else ""
        findings.error(place, f"attribute {name!r}: {exc}", directive=name, hint=hint)
        return None
    findings.error(
        place,
        f"attribute {name!r}: {text!r} is none of {_FORM}",
        directive=name,
        hint=f"value:{text}" if ":" not in text else suggest(source, _SOURCES),
    )
    return None


_SOURCES: Final = ("header", "certificate", "request", "value")


def _refusal(name: str) -> str:
    """Why an attribute may not have this name, or an empty string."""
    if not _NAME.fullmatch(name):
        return "a name has letters, digits and _ . - : / only"
    if name.upper() in _SENT_ANYWAY:
        return "containers are told this anyway, and nobody may say it otherwise"
    if name.lower().startswith(_TOMCATS_OWN):
        return "names of this kind mean something to Tomcat itself; choose another"
    if canonical(name).decode() in _EVERYBODYS:
        return "clients could not send the header of this name any more; choose another"
    return ""


def _from_header(name: str, text: str, place: Place) -> AttributeRule:
    header, default = _with_default(text)
    if problem := header_refusal(header):
        raise ValueError(problem)
    return AttributeRule(
        name=name.encode(), source="header", key=canonical(header), default=default, place=place
    )


def _from_request(name: str, text: str, place: Place) -> AttributeRule:
    what, default = _with_default(text)
    if what not in ("id", "trace"):
        raise ValueError(f"request:{what}: a request has an id and a trace")
    return AttributeRule(
        name=name.encode(), source="request", key=what.encode(), default=default, place=place
    )


def header_refusal(name: str) -> str:
    """Why a header cannot be kept for trusted proxies, or an empty string."""
    if not _TOKEN.fullmatch(name):
        return f"{name!r} is no name of a header"
    if canonical(name).decode() in _EVERYBODYS:
        return f"the header {name!r} belongs to the client; containers have it anyway"
    return ""


def _from_certificate(name: str, text: str, place: Place) -> AttributeRule:
    field, default = _with_default(text)
    return AttributeRule(
        name=name.encode(),
        source="certificate",
        key=field_named(field),
        default=default,
        place=place,
    )


def _with_default(text: str) -> tuple[str, bytes | None]:
    what, bar, default = text.partition("|")
    return what, _bounded(default) if bar else None


def _bounded(text: str) -> bytes:
    value = text.encode()
    if len(value) > MAX_VALUE_LEN:
        raise ValueError(f"a value has at most {MAX_VALUE_LEN} bytes, this one has {len(value)}")
    if b"\0" in value:
        raise ValueError("a value cannot hold a NUL")
    return value


def spoofable(rules: Iterable[AttributeRule]) -> frozenset[bytes]:
    """Names of headers that no container may get from a client, as `canonical` makes them.

    Those that values come from, and those that look like an attribute: an application may read
    either and mean the same.
    """
    rules = tuple(rules)
    sources = {rule.key for rule in rules if rule.source == "header"}
    return frozenset(sources | {canonical(rule.name) for rule in rules})


def tomcat_pattern(rules: Iterable[AttributeRule]) -> str:
    """The regular expression for allowedRequestAttributesPattern of Tomcat's connector.

    Source:
        Tomcat, AJP connector: the pattern must match the whole name; a request with any other
        attribute is answered 403.
    """
    names = dict.fromkeys(rule.name.decode() for rule in rules)
    return "|".join(name.replace(".", r"\.") for name in names)
