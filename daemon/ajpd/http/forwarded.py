"""Who a request comes from, in the words of the proxies in front of us.

Law: a word counts only if a trusted proxy wrote it. What a proxy appends stands at the right end of
a list, so every list is read from the right, and nothing left of the first entry that counts is
looked at: there the client may have written what it likes, broken or not.

Whether the peer is trusted at all is asked once for each connection, before `origin`. This file
knows header values and addresses only: no connection, no configuration, no log.

Source: RFC 7239; for X-Forwarded-* the habits of nginx, haproxy and httpd (mod_remoteip).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Literal, NamedTuple

__all__ = ["Family", "Origin", "TrustedProxies", "origin"]

#: Which headers are read.
Family = Literal["auto", "x-forwarded", "forwarded", "none"]

_SHORT_FORMS: Final = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),  # RFC 1918, 4193
}
_MAPPED: Final = 0xFFFF << 32  # ::ffff:0:0/96, IPv4 inside IPv6
#: Addresses remembered. Proxies are few; what else is asked for are clients, which come and go.
_CACHE_LIMIT: Final = 1024
#: Entries of one list that are looked at; more hops than that are a loop or an attack.
_MOST_ENTRIES: Final = 64
#: Bytes of Forwarded that are looked at: room for 64 elements as proxies write them.
_MOST_BYTES: Final = 8192
_LONGEST_HOST: Final = 255  # RFC 1035, 2.3.4
_LONGEST_NODE: Final = 80  # an address of 45 bytes in brackets, and an obfuscated port


class TrustedProxies:
    """The networks whose word about their clients counts.

    Args:
        networks: addresses, networks as address/prefix, and the words `unix` (peers on Unix
            sockets), `loopback` and `private` (RFC 1918 and RFC 4193, without loopback).

    Raises:
        ValueError: one is none of these; the text names it.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._unix = False
        self._networks: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        self._known: dict[str, bool] = {}
        for word in networks:
            if word == "unix":
                self._unix = True
                continue
            for network in _SHORT_FORMS.get(word, (word,)):
                version, shift, prefix = _network(network)
                self._networks[version].append((shift, prefix))

    def trusts(self, address: str | None) -> bool:
        """Tell whether a peer is one of them.

        Args:
            address: as text; None for a peer on a Unix socket.
        """
        if address is None:
            return self._unix
        known = self._known.get(address)
        if known is None:
            found = _address(address)
            if found is None:
                return False
            value = int(found)
            known = any(value >> shift == prefix for shift, prefix in self._networks[found.version])
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            self._known[address] = known
        return known


def _network(word: str) -> tuple[int, int, int]:
    """Read a network: version, bits that do not count, those that do."""
    problem = (
        f"{word!r} is no address, no network such as 10.0.0.0/8 and none of the words unix, "
        "loopback, private"
    )
    if "%" in word:  # the name of an interface; addresses are compared without
        raise ValueError(problem)
    try:
        network = ip_network(word, strict=False)
    except ValueError as wrong:
        raise ValueError(problem) from wrong
    if "/" in word and ip_address(word.partition("/")[0]) != network.network_address:
        raise ValueError(f"{word!r} has bits behind its prefix; the network is {network}")
    version, length = network.version, network.prefixlen
    start = int(network.network_address)
    if version == 6 and length >= 96 and start >> 32 == _MAPPED >> 32:
        # Addresses are compared in the shorter form, and so are networks.
        version, length, start = 4, length - 96, start - _MAPPED
    shift = (32 if version == 4 else 128) - length
    return version, shift, start >> shift


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; IPv4 inside IPv6 is IPv4, and one with a zone is none of ours."""
    if len(text) > 45 or "%" in text or not text.isascii():
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address


class Origin(NamedTuple):
    """What trusted proxies say about a request; None where they say nothing.

    Attributes:
        remote_addr: the client's address as text, IPv4 inside IPv6 as IPv4.
        remote_port: its port, decimal.
        scheme_is_https: how the client reached the outermost proxy.
        server_name: the host the client asked for, lower case, [IPv6] in brackets.
        server_port: 1-65535, as the client knows it.
        problem: what was passed over and why, for the log; only what a trusted proxy wrote, or
            let through, leads to one.
    """

    remote_addr: bytes | None = None
    remote_port: bytes | None = None
    scheme_is_https: bool | None = None
    server_name: bytes | None = None
    server_port: int | None = None
    problem: str | None = None


_HTTPS: Final = {b"https": True, b"wss": True, b"http": False, b"ws": False}
_NODE: Final = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::(?:([0-9]{1,5})|_[A-Za-z0-9._-]+))?"
)
_BARE_V6: Final = re.compile(rb"[0-9A-Fa-f:.]{2,45}")
_NAMELESS: Final = re.compile(rb"(?:unknown|_[A-Za-z0-9._-]+)(?::.*)?", re.IGNORECASE | re.DOTALL)
_HOST: Final = re.compile(rb"(\[([0-9A-Fa-f:.]{2,45})\]|[A-Za-z0-9._~-]+)(?::([0-9]{0,5}))?")
_PORT: Final = re.compile(rb"[0-9]{1,5}")


def origin(
    peer: bytes,
    *,
    trusted: TrustedProxies,
    family: Family = "auto",
    x_forwarded_for: Sequence[bytes] = (),
    x_forwarded_proto: Sequence[bytes] = (),
    x_forwarded_host: Sequence[bytes] = (),
    x_forwarded_port: Sequence[bytes] = (),
    forwarded: Sequence[bytes] = (),
) -> Origin:
    """Read the headers of one request that came from a trusted proxy.

    **Addresses.** From the right, trusted proxies are skipped; the first other address is the
    client. What is no address (`unknown`, `_hidden`, an empty entry, garbage) ends the walk, and
    the last address before it counts. If all are trusted, it is the leftmost.

    **X-Forwarded-Proto, -Host, -Port** with several values: the last one, which the nearest
    proxy wrote or received from one it trusts. An entry in the same place as the client's in
    X-Forwarded-For would fit better where every proxy appends to every list. But if the outer
    proxy appends and the inner one does not, that place is filled by the client: it sends
    `X-Forwarded-Proto: https` and has the two lists of equal length. A last value that is not
    valid is not replaced by one before it.

    **Forwarded** keeps what belongs together in one element: `proto` and `host` are taken from the
    leftmost element that a trusted proxy wrote. What breaks the grammar there ends the walk, too.

    **auto** reads X-Forwarded-* if there is any of them, else Forwarded; never both, because one
    of the two may have come from the client through a proxy that writes only the other. Only
    naming the family closes this door completely.

    Args:
        peer: the proxy's address, for `problem`.
        trusted: the peer is one of them, or a Unix socket that is trusted.
        family: which headers are read.
        x_forwarded_for: values of all header lines of this name, in their order.
        x_forwarded_proto: likewise.
        x_forwarded_host: likewise.
        x_forwarded_port: likewise; it beats a port in X-Forwarded-Host.
        forwarded: likewise.

    Source:
        RFC 7239 sections 4-6. Differs: blanks around `;` are allowed, as many proxies write them.
    """
    if family == "none":
        return Origin()
    has_x = x_forwarded_for or x_forwarded_proto or x_forwarded_host or x_forwarded_port
    if family == "forwarded" or (family == "auto" and not has_x):
        return _from_forwarded(peer, forwarded, trusted)
    address, port, problem = _from_x_forwarded_for(peer, x_forwarded_for, trusted)
    name, name_port = _host(_last(x_forwarded_host))
    own_port = _port(_last(x_forwarded_port))
    if problem is None and family == "auto" and forwarded:
        problem = f"Forwarded of {_show(peer)} is not read where there is X-Forwarded-*, too"
    return Origin(
        address,
        port,
        scheme_is_https=_HTTPS.get(_last(x_forwarded_proto).lower()),
        server_name=name,
        server_port=name_port if own_port is None else own_port,
        problem=problem,
    )


def _show(peer: bytes) -> str:
    return peer.decode("ascii", "backslashreplace")


def _from_right(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Take the entries of a list apart lazily, at most _MOST_ENTRIES of them.

    Empty ones are entries: left of one that a proxy could not fill, the client's words begin.
    """
    left = _MOST_ENTRIES
    for line in reversed(lines):
        for entry in reversed(line.rsplit(b",", left)):
            if not left:
                return
            left -= 1
            yield entry.strip(b" \t")


def _last(lines: Sequence[bytes]) -> bytes:
    return next(_from_right(lines), b"")


class _Walk:
    """The way from proxy to proxy until the client, and the last address on it."""

    def __init__(self, trusted: TrustedProxies) -> None:
        self._trusted = trusted
        self.address: bytes | None = None
        self.port: bytes | None = None
        self.problem: str | None = None

    def goes_on(self, node: bytes) -> bool:
        """Take the next node; true if it is a proxy whose own word about the next one counts."""
        match = _NODE.fullmatch(node) if len(node) <= _LONGEST_NODE else None
        address = _literal(match) if match is not None else None
        if match is None or address is None or (match[3] and int(match[3]) > 0xFFFF):
            if _NAMELESS.fullmatch(node) is None:
                self.problem = f"{node[:_LONGEST_NODE]!r} is no address"
            return False
        text = str(address)
        self.address = text.encode()
        self.port = b"%d" % int(match[3]) if match[3] else None
        return self._trusted.trusts(text)


def _literal(match: re.Match[bytes]) -> IPv4Address | IPv6Address | None:
    """Read what _NODE found; brackets are for IPv6."""
    if match[1] is not None and b":" not in match[1]:
        return None
    return _address((match[1] or match[2]).decode())


def _from_x_forwarded_for(
    peer: bytes, lines: Sequence[bytes], trusted: TrustedProxies
) -> tuple[bytes | None, bytes | None, str | None]:
    walk = _Walk(trusted)
    for entry in _from_right(lines):
        is_bare = entry.count(b":") > 1 and _BARE_V6.fullmatch(entry)
        if not walk.goes_on(b"[" + entry + b"]" if is_bare else entry):
            break
    problem = walk.problem and f"X-Forwarded-For of {_show(peer)}: {walk.problem}"
    return walk.address, walk.port, problem


def _host(value: bytes) -> tuple[bytes | None, int | None]:
    """Read host[:port]; nothing at all unless every part of it is valid."""
    match = _HOST.fullmatch(value) if len(value) <= _LONGEST_HOST else None
    if match is None or (match[2] and not _is_v6(match[2])):
        return None, None
    port = _port(match[3]) if match[3] else None
    if match[3] and port is None:
        return None, None
    return match[1].lower(), port


def _is_v6(literal: bytes) -> bool:
    return b":" in literal and _address(literal.decode()) is not None


def _port(value: bytes) -> int | None:
    port = int(value) if _PORT.fullmatch(value) else 0
    return port if 0 < port <= 0xFFFF else None


# --- Forwarded ------------------------------------------------------------------------------------
# Read backwards, on a line that was turned around. From the left, a quotation mark that a client
# never closes would swallow what its proxy appends, and with it the client's address.

_BLANKS: Final = re.compile(rb"[ \t]*")
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BACKSLASHES: Final = re.compile(rb"\\*")
_QUOTED: Final = re.compile(rb"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*")
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)


class _BrokenError(ValueError):
    """What stands where an element of Forwarded should be."""


def _from_forwarded(peer: bytes, lines: Sequence[bytes], trusted: TrustedProxies) -> Origin:
    walk = _Walk(trusted)
    outermost: dict[bytes, bytes] = {}
    try:
        for outermost in _elements(lines):
            if not walk.goes_on(outermost.get(b"for", b"unknown")):
                break
    except _BrokenError as wrong:
        walk.problem = str(wrong)
    name, port = _host(outermost.get(b"host", b""))
    return Origin(
        walk.address,
        walk.port,
        scheme_is_https=_HTTPS.get(outermost.get(b"proto", b"").lower()),
        server_name=name,
        server_port=port,
        problem=walk.problem and f"Forwarded of {_show(peer)}: {walk.problem}",
    )


def _elements(lines: Sequence[bytes]) -> Iterator[dict[bytes, bytes]]:
    """Take elements apart lazily, the last one first: parameters by lower-case name."""
    left, budget = _MOST_ENTRIES, _MOST_BYTES
    for line in reversed(lines):
        turned = line[::-1][:budget]
        pos = 0
        while pos <= len(turned):
            if not left:
                return
            left -= 1
            element, pos = _element(turned, pos)
            if pos > len(turned) and len(line) > budget:
                raise _BrokenError(f"it goes on after {_MOST_BYTES} bytes")
            yield element
        budget -= len(turned)


def _element(turned: bytes, start: int) -> tuple[dict[bytes, bytes], int]:
    """Read one element; what follows begins behind its comma, or behind the end."""
    found: dict[bytes, bytes] = {}
    pos = start
    while True:
        pos = _end(_BLANKS, turned, pos)
        if turned[pos : pos + 1] not in (b"", b",", b";"):
            name, value, pos = _pair(turned, pos)
            if name in found:
                raise _BrokenError(f"{name!r} stands twice in one element")
            found[name] = value
            pos = _end(_BLANKS, turned, pos)
        separator = turned[pos : pos + 1]
        pos += 1
        if separator in (b"", b","):
            return found, pos
        if separator != b";":
            raise _BrokenError(f"byte 0x{separator[0]:02X} where ';' or ',' was expected")


def _pair(turned: bytes, start: int) -> tuple[bytes, bytes, int]:
    """Read name=value; the value comes first here."""
    if turned[start : start + 1] == b'"':
        value, pos = _quoted(turned, start)
    else:
        pos = _end(_TOKEN, turned, start)
        value = turned[start:pos][::-1]
    end = _end(_TOKEN, turned, pos + 1)
    if pos == start or turned[pos : pos + 1] != b"=" or end == pos + 1:
        written = turned[start : pos + _LONGEST_NODE][::-1]
        raise _BrokenError(f"name=value was expected at the end of {written!r}")
    return turned[pos + 1 : end][::-1].lower(), value, end


def _quoted(turned: bytes, start: int) -> tuple[bytes, int]:
    """Read a quoted string from its closing mark to the opening one."""
    pos = turned.find(b'"', start + 1)
    while pos >= 0:
        behind = _end(_BACKSLASHES, turned, pos + 1)
        if (behind - pos) % 2:  # no backslashes, or pairs of them: the mark is not escaped
            break
        pos = turned.find(b'"', behind)
    if pos < 0:
        raise _BrokenError("a quoted string has no beginning")
    written = turned[start + 1 : pos][::-1]
    if _QUOTED.fullmatch(written) is None:
        raise _BrokenError(f"{written[:_LONGEST_NODE]!r} cannot be quoted")
    return _QUOTED_PAIR.sub(rb"\1", written), pos + 1


def _end(pattern: re.Pattern[bytes], text: bytes, pos: int) -> int:
    """Tell where a match that begins at pos ends; pos itself when there is none."""
    match = pattern.match(text, pos)
    return match.end() if match is not None else pos
