"""Names of the parts of a client's certificate, and their values."""

from typing import Any

import pytest

from ajpd.client_certificate import FIELDS, field_named, user_field_named, value_of

#: As Python's ssl gives it.
CERTIFICATE: dict[str, Any] = {
    "subject": (
        (("countryName", "AT"),),
        (("organizationName", "Ex, Inc"),),
        (("organizationalUnitName", "first"),),
        (("organizationalUnitName", "second"),),
        (("commonName", "Müller"), ("userId", "u1")),
        (("emailAddress", "a@example"),),
        (("1.2.3.4", "#odd "),),
    ),
    "issuer": ((("commonName", "Some CA"),),),
    "version": 3,
    "serialNumber": "0A1B",
    "notBefore": "Nov 22 21:46:07 2026 GMT",
    "notAfter": "Dec 12 21:46:07 2026 GMT",
    "subjectAltName": (
        ("email", "one@example"),
        ("email", "two@example"),
        ("DNS", "h.example"),
        ("URI", "urn:x"),
        ("IP Address", "192.0.2.1"),
        ("othername", "SmtpUTF8Mailbox:no"),
        ("othername", "UPN:me@corp"),
    ),
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("S_DN_CN", "Müller"),
        ("SSL_CLIENT_S_DN_CN", "Müller"),
        ("s_dn_cn", "Müller"),
        ("S_DN_OU", "first"),
        ("S_DN_OU_0", "first"),
        ("S_DN_OU_1", "second"),
        ("S_DN_OU_2", None),
        ("S_DN_L", None),
        ("S_DN_emailAddress", "a@example"),
        ("S_DN_Email", "a@example"),
        ("S_DN_UID", "u1"),
        ("I_DN_CN", "Some CA"),
        ("I_DN", "CN=Some CA"),
        ("M_SERIAL", "0A1B"),
        ("M_VERSION", "3"),
        ("V_START", "Nov 22 21:46:07 2026 GMT"),
        ("V_END", "Dec 12 21:46:07 2026 GMT"),
        ("SAN_email", "one@example"),
        ("SAN_Email_1", "two@example"),
        ("SAN_Email_2", None),
        ("SAN_DNS", "h.example"),
        ("SAN_URI", "urn:x"),
        ("SAN_IP", "192.0.2.1"),
        ("SAN_OTHER_msUPN_0", "me@corp"),
    ],
)
def test_values(field: str, value: str | None) -> None:
    expected = None if value is None else value.encode()
    assert value_of(CERTIFICATE, field_named(field)) == expected


def test_a_whole_name_is_written_as_rfc_2253_says() -> None:
    # openssl x509 -nameopt RFC2253 writes the same, but for the unknown attribute.
    assert value_of(CERTIFICATE, b"s_dn") == (
        rb"1.2.3.4=\#odd\ ,emailAddress=a@example,UID=u1+CN=M\C3\BCller,OU=second,OU=first,"
        rb"O=Ex\, Inc,C=AT"
    )


def test_control_characters_in_a_whole_name_are_escaped() -> None:
    certificate = {"subject": ((("commonName", "a\r\nX: y\x7f"),),)}
    assert value_of(certificate, b"s_dn") == rb"CN=a\0D\0AX: y\7F"


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_can_be_named_and_looked_up(field: str) -> None:
    named = field_named(field)
    if field not in ("CERT", "VERIFY"):
        assert value_of({}, named) is None


@pytest.mark.parametrize(
    "text", ["", "CN", "S_DN_", "S_DN_XX", "S_DN_1", "M_SERIAL_1", "SAN", "SAN_DNS_", "S_DN_OU_100"]
)
def test_there_is_no_such_field(text: str) -> None:
    with pytest.raises(ValueError, match="is no field of a certificate"):
        field_named(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("CN", b"s_dn_cn"),
        ("DN", b"s_dn"),
        ("emailAddress", b"s_dn_email"),
        ("UID", b"s_dn_uid"),
        ("SAN:email", b"san_email"),
        ("SAN:other_msUPN", b"san_other_msupn"),
        ("SSL_CLIENT_S_DN_CN", b"s_dn_cn"),
        ("M_SERIAL", b"m_serial"),
    ],
)
def test_what_names_a_user(text: str, field: bytes) -> None:
    assert user_field_named(text) == field


@pytest.mark.parametrize("text", ["I_DN_CN", "V_END", "CERT", "VERIFY", "M_VERSION", "nonsense"])
def test_what_names_nobody(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no user|is no field"):
        user_field_named(text)
