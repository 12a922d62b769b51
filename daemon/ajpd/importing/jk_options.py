"""JkOptions: one option after the other.

Source: mod_jk `mod_jk.c` (jk_set_options).
"""

from collections.abc import Mapping
from typing import Final

from .draft import Draft
from .reading import Statement, setting
from .remarks import Remarks

__all__ = ["take_options"]

_URIS: Final = {
    "forwarduriproxy": "proxy",
    "forwarduricompat": "compat",
    "forwarduricompatunparsed": "compat_unparsed",
    "forwarduriescaped": "escaped",
}
_COLLAPSES: Final = "several slashes in a row are one, as in mod_jk"
_FLUSHES: Final = "ajpd never holds anything back"
#: What to say about an option that is on; nothing has to be done for any of these.
_ON: Final[Mapping[str, str]] = {
    "forwardkeysize": "ajpd sends the size of the key",
    "rejectunsafeuri": "ajpd answers a request whose path is not safe with 400",
    "collapseslashesall": _COLLAPSES,
    "collapseslashesnone": _COLLAPSES,
    "collapseslashesunmount": _COLLAPSES,
    "flushpackets": _FLUSHES,
    "flushheader": _FLUSHES,
    "forwardphysicaladdress": "without trusted_proxies ajpd does the same",
}
#: And these are not there.
_LOST: Final[Mapping[str, tuple[str, str]]] = {
    "forwarddirectories": (
        "ajpd has no directories: requests go where rules lead them",
        "write a rule for every directory that Tomcat has to answer for",
    ),
    "forwardlocaladdress": (
        "containers are told the address of the client, not that of the server",
        "",
    ),
    "disablereuse": (
        "ajpd keeps connections to containers",
        "connection_pool_timeout closes idle ones, connection_ping_interval keeps them alive",
    ),
}


def take_options(statement: Statement, draft: Draft, remarks: Remarks) -> None:
    """Understand a whole line of options."""
    for word in statement.words:
        is_off = word.startswith("-")
        name = word.lstrip("+-") if word[:1] in ("+", "-") else word
        _take(statement, name, draft, remarks, is_off=is_off)


def _take(statement: Statement, name: str, draft: Draft, remarks: Remarks, *, is_off: bool) -> None:
    place, key = statement.place, name.lower()
    if key in _URIS and not is_off:
        _forward(statement, _URIS[key], draft, remarks)
    elif key == "forwardsslcertchain":
        draft.set("tls", "client_chain", setting(statement, not is_off))
    elif key in _ON or (key in _LOST and is_off):
        text = f"{name} is off: {_ON.get(key, 'it is never on here')}" if is_off else _ON[key]
        remarks.note(place, f"{statement.name} {name}", text)
    elif key in _LOST:
        reason, advice = _LOST[key]
        remarks.warn(place, f"{statement.name} {name}", reason, advice)
    else:
        sign = "-" if is_off else ""
        remarks.error(
            place,
            statement.name,
            f"there is no option {sign}{name}: Apache does not start with this line",
            "put a blank between two options" if "+" in name or "-" in name else "mend the line",
        )


def _forward(statement: Statement, value: str, draft: Draft, remarks: Remarks) -> None:
    before = draft.settings.get("server", {}).get("forward_uri")
    if before is not None and before.value != value:
        remarks.warn(
            statement.place,
            statement.name,
            f"forward_uri counts for all of ajpd, and {before.place} says otherwise",
            "the first one counts; see forward_uri in [server]",
        )
        return
    draft.set("server", "forward_uri", setting(statement, value))
