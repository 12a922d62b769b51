"""Parts of a client's certificate, by the names that Apache gives them.

A field is what stands behind `SSL_CLIENT_` in Apache's environment: `S_DN_CN`, `SAN_email`,
`M_SERIAL`. Takes the dictionary that Python's ssl makes of a verified certificate; parses nothing
itself and decides nothing.

Source: httpd `mod_ssl` documentation, "Environment Variables", and `ssl_engine_vars.c` for what
their values look like; RFC 2253 for names as text.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["FIELDS", "field_named", "user_field_named", "value_of"]

_PREFIX: Final = "ssl_client_"

#: Part of a distinguished name, in lower case: attribute as Python's ssl names it.
_PARTS: Final[Mapping[str, str]] = {
    "c": "countryName",
    "st": "stateOrProvinceName",
    "l": "localityName",
    "o": "organizationName",
    "ou": "organizationalUnitName",
    "cn": "commonName",
    "t": "title",
    "i": "initials",
    "g": "givenName",
    "s": "surname",
    "d": "description",
    "uid": "userId",
    "email": "emailAddress",
    "dc": "domainComponent",
    "serialnumber": "serialNumber",
}
#: The same the other way round, with the short names that OpenSSL writes.
_SHORT: Final[Mapping[str, str]] = {
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "commonName": "CN",
    "surname": "SN",
    "givenName": "GN",
    "userId": "UID",
    "domainComponent": "DC",
    "streetAddress": "street",
}
#: Kind of alternative name, in lower case: as Python's ssl names it.
_ALTERNATIVES: Final[Mapping[str, str]] = {
    "dns": "DNS",
    "email": "email",
    "uri": "URI",
    "ip": "IP Address",
    "other_msupn": "othername",
}
#: OpenSSL 3 writes this before a user principal name; older ones write none of it.
_UPN: Final = "UPN:"
_PLAIN: Final[Mapping[str, str]] = {
    "m_serial": "serialNumber",
    "m_version": "version",
    "v_start": "notBefore",
    "v_end": "notAfter",
}
_NAMES: Final[Mapping[str, str]] = {"s_dn": "subject", "i_dn": "issuer"}

#: Every field without its number, as Apache writes it where Apache has it; for messages.
FIELDS: Final[tuple[str, ...]] = (
    *("S_DN", "I_DN", "M_SERIAL", "M_VERSION", "V_START", "V_END", "CERT", "VERIFY"),
    *(f"{whose}_DN_{part.upper()}" for whose in "SI" for part in _PARTS if part != "email"),
    *("S_DN_Email", "I_DN_Email", "SAN_DNS", "SAN_Email", "SAN_URI", "SAN_IP", "SAN_OTHER_msUPN"),
)
_KNOWN: Final = frozenset(field.lower() for field in FIELDS)
_ONE_OF_SEVERAL: Final = re.compile(r"([si]_dn_[a-z]+|san_[a-z_]+)_([0-9]{1,2})")

Certificate = Mapping[str, Any]


def field_named(text: str) -> bytes:
    """Find the field that is meant; `SSL_CLIENT_` may stand before it, and case does not count.

    Returns:
        its name in lower case, with the number, if there is one, behind `_`.

    Raises:
        ValueError: there is no such field.
    """
    name = text.lower().removeprefix(_PREFIX).replace("emailaddress", "email")
    several = _ONE_OF_SEVERAL.fullmatch(name)
    bare = several[1] if several is not None else name
    if bare not in _KNOWN:
        raise ValueError(f"{text!r} is no field of a certificate")
    return name.encode()


def user_field_named(text: str) -> bytes:
    """Find the field that names a user: `CN` and `DN` are of the subject, `SAN:email` is possible.

    Raises:
        ValueError: there is no such field, or it names nobody.
    """
    if text.upper() == "DN":
        return field_named("S_DN")
    if text.lower() in _PARTS or text.lower() == "emailaddress":
        return field_named(f"S_DN_{text}")
    kind, _, part = text.partition(":")
    if kind.upper() == "SAN" and part.lower() in _ALTERNATIVES:
        return field_named(f"SAN_{part}")
    field = field_named(text)
    if not field.startswith((b"s_dn", b"san_", b"m_serial")):
        raise ValueError(f"{text!r} names no user")
    return field


def value_of(certificate: Certificate, field: bytes) -> bytes | None:
    r"""Look a field up; dates, serial numbers and names look as they do in Apache.

    Args:
        certificate: verified, as `SSLObject.getpeercert` returns it.
        field: from `field_named`; not `cert` and not `verify`, which are not in there.

    Returns:
        UTF-8, or None when the certificate has no such part.

    Source:
        mod_ssl `ssl_engine_vars.c`: the whole name as RFC 2253 says, bytes beyond ASCII as
        ``\C3``; a part of it as it is.
    """
    name, number = field.decode(), 0
    several = _ONE_OF_SEVERAL.fullmatch(name)
    if several is not None:
        name, number = several[1], int(several[2])
    if name in _PLAIN:
        value = certificate.get(_PLAIN[name])
        return None if value is None else str(value).encode()
    if name in _NAMES:
        whole = _distinguished_name(certificate.get(_NAMES[name], ()))
        return whole.encode() if whole else None
    if name.startswith("san_"):
        found = _alternatives(certificate, name.removeprefix("san_"))
    else:
        wanted = _PARTS[name[5:]]
        entries = _entries(certificate.get(_NAMES[name[:4]], ()))
        found = [value for attribute, value in entries if attribute == wanted]
    return found[number].encode("utf-8", "replace") if number < len(found) else None


def _entries(name: Iterable[Iterable[tuple[str, str]]]) -> list[tuple[str, str]]:
    return [pair for group in name for pair in group]


def _alternatives(certificate: Certificate, kind: str) -> list[str]:
    names: Iterable[tuple[str, str]] = certificate.get("subjectAltName", ())
    found = [value for each, value in names if each == _ALTERNATIVES[kind]]
    if kind == "other_msupn":
        return [value.removeprefix(_UPN) for value in found if value.startswith(_UPN)]
    return found


def _distinguished_name(name: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A name as text: the last part first, as RFC 2253 wants it."""
    groups = [
        "+".join(
            f"{_SHORT.get(attribute, attribute)}={_escaped(value)}"
            for attribute, value in reversed(tuple(group))
        )
        for group in name
    ]
    return ",".join(reversed(groups))


def _escaped(value: str) -> str:
    encoded = value.encode("utf-8", "replace")
    last = len(encoded) - 1
    found = []
    for index, byte in enumerate(encoded):
        if byte < 0x20 or byte >= 0x7F:
            found.append(f"\\{byte:02X}")
        elif (
            byte in b',+"\\<>;'
            or (byte in b" #" and index == 0)
            or (byte == 0x20 and index == last)
        ):
            found.append(f"\\{byte:c}")
        else:
            found.append(chr(byte))
    return "".join(found)
