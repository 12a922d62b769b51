"""Request targets: what is compared with the rules, and what is sent to the container.

Law: the path we decide on and the path the container resolves are the same, or the request is
refused. For every path that gets through,

    resolve(raw) == match == resolve(forward)      resolve: what Tomcat does to a path

whatever the mode, and in the mode `proxy` also

    normalise(forward).match == match
    normalise(forward).forward == forward

This file knows paths only: no query, no header, no configuration.

Source: mod_jk `jk_util.c` (jk_servlet_normalize), `jk_url.c` (jk_canonenc) and `mod_jk.c`
(JkOptions ForwardURI*), Apache httpd `util.c` (dot segments, doubled slashes, ap_os_escape_path),
Tomcat `CoyoteAdapter` (path parameters are cut before decoding, then slashes, then dots).
"""

import re
from typing import Final, Literal, NamedTuple, get_args

__all__ = ["BadURI", "ForwardMode", "NormalisedURI", "forward_mode", "is_plain", "normalise"]

#: The form of the path in what is forwarded: mod_jk's ForwardURIProxy, ForwardURICompat,
#: ForwardURICompatUnparsed, ForwardURIEscaped.
ForwardMode = Literal["proxy", "compat", "compat_unparsed", "escaped"]


class BadURI(ValueError):  # noqa: N818 - the answer is 400, the name says why
    """The request target is not one that can be decided on; the client gets 400."""


class NormalisedURI(NamedTuple):
    """One path in two forms. A tuple, because one is made for every request.

    Attributes:
        match: compared with rules: decoded once, without path parameters, doubled slashes and
            dot segments.
        forward: sent to the container, with path parameters, in the form the mode says.
    """

    match: bytes
    forward: bytes


#: Bytes that stand for themselves in what is forwarded, beside the slash.
_LITERAL: Final = rb"A-Za-z0-9~$\-_.+!*'(),;:@&="
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BAD_BYTE: Final = re.compile(rb"[\x00-\x20\x7f\\#?]")
_BAD_ENCODED: Final = re.compile(rb"%(?:00|2[Ff]|5[Cc])")
#: One escape, or one byte that must become one.
_UNIT: Final = re.compile(rb"%([0-9A-Fa-f]{2})|[^/" + _LITERAL + rb"]")
_ESCAPE: Final = re.compile(rb"%([0-9A-F]{2})")
_PARAMETERS: Final = re.compile(rb";[^/]*")
_ANY_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
#: What is no part of a path for anybody who reads it as a URI, and what breaks lines of logs.
_NEVER_RAW: Final = re.compile(rb"[\x00-\x1f\x7f?#]")
_KEEPS_ITS_MEANING: Final = re.compile(rb"[A-Za-z0-9~$\-_.+!*'(),:@&]")
_PLAIN: Final = re.compile(rb"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9~$\-_.+!*'(),:@&=]+)+/?|/")


#: Names of the modes as JkOptions has them, lower case, and as ours.
_MODES: Final[dict[str, ForwardMode]] = {
    spelling: mode
    for mode in get_args(ForwardMode)
    for spelling in (mode, "forwarduri" + mode.replace("_", ""))
}


def forward_mode(word: str) -> ForwardMode:
    """Find the mode of a word from a configuration.

    Args:
        word: `proxy`, `compat`, `compat_unparsed`, `escaped`, or the name in JkOptions, such as
            `ForwardURIProxy` or `+ForwardURIProxy`, in any case.

    Raises:
        ValueError: it is none of them.
    """
    mode = _MODES.get(word.removeprefix("+").lower())
    if mode is None:
        raise ValueError(f"{word!r} is none of {', '.join(get_args(ForwardMode))}")
    return mode


def normalise(raw_path: bytes, mode: ForwardMode = "proxy") -> NormalisedURI:
    r"""Check and normalise the path of a request target in origin form.

    A segment that is a dot segment only once its parameters are cut (`..;x`) is resolved for
    `match`, as Tomcat will do, and forwarded as it is, as mod_jk does. Dot segments behind it
    then stay too where resolving them would change what Tomcat makes of the whole; all others
    are resolved. `//` becomes `/`.

    `%3B` is part of a name, and is forwarded as `%3B`. mod_jk forwards `;`, which makes a
    parameter of what was none. In the same way `%3D` stays in a parameter, where it could part
    name and value.

    Encoded control bytes other than NUL are let through, encoded; so are bytes that are not
    UTF-8.

    The other modes forward what mod_jk forwards, if Tomcat still reads `match` in it. `compat`
    sends the path decoded, and Tomcat decodes it again; `escaped` encodes the semicolons of
    parameters, which makes them parts of names; `compat_unparsed` sends what was received.

    Args:
        raw_path: as received, up to the `?`. Exactly `*` is allowed; no rule matches it.
        mode: the form of what is forwarded; it changes nothing in `match`.

    Raises:
        BadURI: no leading slash; a control byte, blank, `\`, `#` or `?`; an escape that is
            none; an encoded NUL, slash or backslash; a dot segment that leads above the root;
            in the other modes also a path that Tomcat would read otherwise, and in `compat` an
            encoded control byte, `#` or `?`, which would arrive raw.
    """
    if is_plain(raw_path):
        return NormalisedURI(raw_path, raw_path)
    if raw_path == b"*":
        return NormalisedURI(b"*", b"*")
    _check(raw_path)
    found = _resolve(_UNIT.sub(_canonical_unit, raw_path))
    return found if mode == "proxy" else _in_mode(found, raw_path, mode)


def is_plain(raw: bytes) -> bool:
    """Tell quickly that a path is normal already, so that match and forward are the path itself.

    The exact conditions, for whoever checks them elsewhere:

    1. the first byte is `/`;
    2. every byte is a letter or digit of ASCII or one of `/ ~ $ - _ . + ! * ' ( ) , : @ & =`,
       which leaves out `%` and `;`;
    3. nowhere are two slashes in a row;
    4. no segment is `.` or `..`: no `/.` and no `/..` is followed by `/` or by the end.
    """
    return _PLAIN.fullmatch(raw) is not None


def _check(raw: bytes) -> None:
    if not raw.startswith(b"/"):
        raise BadURI("the path does not begin with '/'")
    bad = _BAD_BYTE.search(raw)
    if bad is not None:
        raise BadURI(f"byte 0x{bad[0][0]:02X} at offset {bad.start()} of the path")
    bad = _BAD_ESCAPE.search(raw)
    if bad is not None:
        raise BadURI(f"'%' without two hexadecimal digits at offset {bad.start()} of the path")
    bad = _BAD_ENCODED.search(raw)
    if bad is not None:
        raise BadURI(f"{bad[0].decode()} at offset {bad.start()} of the path")


def _canonical_unit(match: re.Match[bytes]) -> bytes:
    """Write one byte in the only form it has afterwards."""
    digits = match[1]
    if digits is None:
        return b"%%%02X" % match[0][0]
    byte = bytes.fromhex(digits.decode())
    return byte if _KEEPS_ITS_MEANING.match(byte) else b"%" + digits.upper()


def _decode(name: bytes) -> bytes:
    if b"%" not in name:
        return name
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), name)


def _resolve(path: bytes) -> NormalisedURI:
    """Resolve slashes and dots of a canonical path, once for each of the two forms.

    `seen` is the path as Tomcat sees it. `kept` is what is forwarded. A segment that vanishes
    for Tomcat, but is forwarded for its parameters, stands between what follows and what a `..`
    would take away; a `..` behind one is therefore kept.
    """
    seen: list[bytes] = []
    kept: list[tuple[bytes, bool]] = []  # (segment, it is a name)
    is_name = is_kept = False
    for segment in path.split(b"/")[1:]:
        name, semicolon, parameters = segment.partition(b";")
        is_name = name not in (b"", b".", b"..")
        is_kept = is_name or bool(semicolon)
        if name == b"..":
            if not seen:
                raise BadURI("the path leads above the root")
            seen.pop()
            if not is_kept and kept[-1][1]:
                kept.pop()
            else:
                is_kept = True
        elif is_name:
            seen.append(name)
        if is_kept:
            kept.append((name.replace(b"%3D", b"=") + semicolon + parameters, is_name))
    return NormalisedURI(
        _join([_decode(name) for name in seen], is_open=not is_name),
        _join([segment for segment, _ in kept], is_open=not is_kept),
    )


def _in_mode(found: NormalisedURI, raw_path: bytes, mode: ForwardMode) -> NormalisedURI:
    """Change what is forwarded, and make sure that it means the same."""
    match, forward = found
    if mode == "compat_unparsed":
        forward = raw_path
    elif mode == "escaped":
        forward = forward.replace(b";", b"%3B")
    else:
        forward = _decode(forward)
        bad = _NEVER_RAW.search(forward)
        if bad is not None:
            raise BadURI(f"byte 0x{bad[0][0]:02X} of the decoded path cannot be forwarded as it is")
    if _as_container_reads(forward) != match:
        raise BadURI(f"the container would read the path otherwise (forward_uri is {mode})")
    return NormalisedURI(match, forward)


def _as_container_reads(path: bytes) -> bytes | None:
    """Do what Tomcat does with a path, whatever it holds; None where it answers 400."""
    path = _PARAMETERS.sub(b"", path)
    if _BAD_ESCAPE.search(path) is not None or _BAD_ENCODED.search(path) is not None:
        return None
    path = _ANY_ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), path)
    seen: list[bytes] = []
    name = b""
    for name in path.split(b"/")[1:]:
        if name == b"..":
            if not seen:
                return None
            seen.pop()
        elif name not in (b"", b"."):
            seen.append(name)
    return _join(seen, is_open=name in (b"", b".", b".."))


def _join(segments: list[bytes], *, is_open: bool) -> bytes:
    path = b"/" + b"/".join(segments)
    return path + b"/" if is_open and segments else path
