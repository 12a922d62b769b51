"""Addresses as people write them: where to listen, and what can be the host of a container.

This file knows texts only; nothing is resolved and nothing is opened here.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["ListenAddress", "parse_fd", "parse_host", "parse_unix_path"]

#: Longest path of a Unix domain socket on Linux, in bytes.
MAX_UNIX_PATH: Final = 107

_FD_NAME: Final = re.compile(r"[0-9]{1,6}|[A-Za-z_.@-][A-Za-z0-9_.@-]{0,254}")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """Where browsers connect: host and port, or a path, or a socket that is there already.

    `fd` is the number of a descriptor, or a name that systemd gave one or more of them.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    fd: str = ""

    def __str__(self) -> str:
        if self.fd:
            return f"fd:{self.fd}"
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Read `host:port`, `[IPv6]:port`, `unix:/path`, `fd:N` or `fd:NAME`.

        Port 0 lets the system choose.

        Raises:
            ValueError: it is none of these; the message says what is missing.
        """
        if text.startswith("unix:"):
            return cls(path=parse_unix_path(text))
        if text.startswith("fd:"):
            return cls(fd=parse_fd(text))
        host, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise ValueError(f"{text!r} does not end with a port, such as 127.0.0.1:8080")
        if not host or host == "*":
            raise ValueError(f"{text!r} has no address; 0.0.0.0:{port} listens on all of IPv4")
        if ":" in host and not host.startswith("["):
            raise ValueError(f"{text!r}: an IPv6 address needs brackets, such as [::1]:8080")
        return cls(host=parse_host(host), port=int(port))


def parse_unix_path(text: str) -> str:
    """Take the path out of `unix:/path`.

    Raises:
        ValueError: it is not absolute, too long for a socket, or holds a NUL.
    """
    path = text.removeprefix("unix:")
    if not path.startswith("/"):
        raise ValueError(f"{text!r}: the path of a Unix socket begins with /")
    if "\0" in path or len(path.encode("utf-8", "surrogateescape")) > MAX_UNIX_PATH:
        raise ValueError(f"the path of a Unix socket has at most {MAX_UNIX_PATH} bytes")
    return path


def parse_fd(text: str) -> str:
    """Take number or name out of `fd:3` or `fd:NAME`.

    Raises:
        ValueError: it is neither, or one of the standard streams.
    """
    name = text.removeprefix("fd:")
    if not _FD_NAME.fullmatch(name):
        raise ValueError(f"{text!r}: a number belongs behind fd:, or a name that systemd gave")
    if name.isdecimal() and int(name) < 3:
        raise ValueError(f"{text!r}: 0 to 2 are the standard streams, sockets begin with fd:3")
    return name


def parse_host(text: str) -> str:
    """Check that a text can be a host: a name, an IPv4 or an IPv6 address (brackets are cut).

    Raises:
        ValueError: it cannot.
    """
    is_bracketed = text.startswith("[") and text.endswith("]")
    bare = text[1:-1] if is_bracketed else text
    if ":" in bare:
        try:
            ipaddress.IPv6Address(bare)
        except ValueError as exc:
            raise ValueError(_not_a_host(text, bare)) from exc
        return bare
    if is_bracketed or not _HOST_NAME.fullmatch(bare):
        raise ValueError(f"{text!r} is neither a host name nor an address")
    return bare


def _not_a_host(text: str, bare: str) -> str:
    host, _, port = bare.rpartition(":")
    if ":" not in host and port.isdecimal():
        return f"{text!r}: a host has no port; write host={host} and port={port}"
    return f"{text!r} is neither a host name nor an address"
