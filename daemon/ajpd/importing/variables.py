"""JkEnvVar, and the variables that mod_proxy_ajp sends → `[attributes]`.

Source: mod_jk `mod_jk.c` (jk_add_env_var, init_ws_service); httpd `modules/proxy/ajp_header.c`
(a variable AJP_name is the attribute name).
"""

from typing import Final

from ajpd.client_certificate import field_named
from ajpd.config.attributes import parse_attribute
from ajpd.config.errors import Findings, Place

from .draft import Draft, Setting
from .remarks import Remarks

__all__ = ["take_variables"]

_CLIENT: Final = "SSL_CLIENT_"
_AJP: Final = "AJP_"
#: Containers get these in fields of AJP.
_SENT: Final = frozenset(
    (
        *("HTTPS", "SSL_CIPHER", "SSL_CIPHER_USEKEYSIZE", "SSL_SESSION_ID", "SSL_PROTOCOL"),
        *("SSL_CLIENT_CERT", "REMOTE_ADDR", "REMOTE_PORT", "REMOTE_HOST", "REMOTE_USER"),
        *("AUTH_TYPE", "SERVER_NAME", "SERVER_PORT", "REQUEST_METHOD", "QUERY_STRING"),
    )
)
#: These change what mod_jk does, and are told to nobody.
_ORDERS: Final = {
    "no-jk": "an exclusion in [mount]",
    "JK_REPLY_TIMEOUT": '";reply_timeout=" behind the worker of a rule',
    "JK_STICKY_IGNORE": '";sticky_ignore=1" behind the worker of a rule',
    "JK_STATELESS": '";stateless=1" behind the worker of a rule',
    "JK_ROUTE": "nothing: no rule names a member",
    "JK_WORKER_NAME": "a rule in [mount]",
}


def take_variables(draft: Draft, remarks: Remarks) -> None:
    """Make attributes of what was asked for."""
    for name, (default, place) in draft.wanted.items():
        source = _source(name, default, place, draft, remarks)
        if source:
            _add(draft, name, source, "JkEnvVar", place, remarks)
    has_passes = any(server.passes for server in draft.servers)
    for name, said in draft.environment.items():
        if said.place is None or name in draft.wanted:
            continue
        if name.startswith(_AJP) and has_passes:
            text = f"value:{said.value}"
            _add(draft, name[len(_AJP) :], text, said.directive, said.place, remarks)
        elif name in _ORDERS:
            remarks.warn(
                said.place,
                f"{said.directive} {name}",
                "there is no environment of Apache here",
                f"what does the same is {_ORDERS[name]}",
            )
        else:
            remarks.note(said.place, f"{said.directive} {name}", "no container was told about it")


def _source(name: str, default: str | None, place: Place, draft: Draft, remarks: Remarks) -> str:
    """`header:…`, `certificate:…` or `value:…`; empty where there is nothing to tell."""
    said = draft.environment.get(name)
    if said is not None:
        return f"value:{said.value}"
    tail = "" if default is None else f"|{default}"
    if name in _SENT:
        remarks.note(place, f"JkEnvVar {name}", "containers get it in a field of AJP anyway")
        return ""
    if name.startswith(_CLIENT):
        field = name[len(_CLIENT) :].removesuffix("_0")
        try:
            field_named(field)
        except ValueError:
            field = ""
        if field:
            return f"certificate:{field}{tail}"
    if default is not None:
        remarks.warn(
            place,
            f"JkEnvVar {name}",
            "there is no environment of Apache here, so containers always get its default",
            'if a proxy in front knows it, write "header:NAME" into [attributes]',
        )
        return f"value:{default}"
    remarks.error(
        place,
        f"JkEnvVar {name}",
        "nobody knows its value: there is no environment of Apache here; it is left out",
        'write "header:NAME" (of a trusted proxy), "certificate:FIELD" or "value:TEXT" into '
        "[attributes]",
    )
    return ""


def _add(
    draft: Draft, name: str, source: str, directive: str, place: Place, remarks: Remarks
) -> None:
    findings = Findings()
    if parse_attribute(name, source, findings, place=place) is None:
        reason = findings.errors[0].message
        remarks.error(place, f"{directive} {name}", f"{reason}; it is left out")
        return
    draft.attributes[name] = Setting(value=source, place=place, directive=directive)
