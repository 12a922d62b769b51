"""The last word of a handshake that fails: the alert that tells the client why.

The TLS of both loops drops what OpenSSL wrote when a handshake fails, and closes: a browser without
the certificate that is asked for would show a lost connection instead of the reason. So the alert
is written to the socket here, at the moment it is made.

Source: RFC 8446 §6.2; CPython issue 98078, and the same code in uvloop `sslproto.pyx`. Where it is
mended, nothing is left to be written twice.
"""

import contextlib
import socket
import ssl
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

__all__ = ["AlertingContext", "accepted"]

#: The socket of the connection whose handshake begins in this task; set before the loop is called.
accepted: Final[ContextVar[socket.socket | None]] = ContextVar("accepted", default=None)


@contextlib.contextmanager
def _quiet_about_names() -> Iterator[None]:
    """Let no client write a traceback into the log.

    A name that is not ASCII fails in Python before `sni_callback` is called, where nothing can be
    caught. The handshake ends with an error all the same.
    """
    before = sys.unraisablehook

    def look(unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.exc_type is not UnicodeDecodeError:
            before(unraisable)

    sys.unraisablehook = look
    try:
        yield
    finally:
        sys.unraisablehook = before


class _Connection(ssl.SSLObject):
    """A connection that says why its handshake failed."""

    outgoing: ssl.MemoryBIO | None = None
    sock: socket.socket | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake; a failure is told to the client before it is raised."""
        try:
            with _quiet_about_names():
                super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self._say_why()
            raise
        self.sock = None

    def _say_why(self) -> None:
        if self.outgoing is not None and self.sock is not None:
            # An alert has a few bytes; a client that cannot take them is not told.
            with contextlib.suppress(OSError):
                self.sock.send(self.outgoing.read(), socket.MSG_DONTWAIT)
        self.sock = None


class AlertingContext(ssl.SSLContext):
    """A context whose failed handshakes end with an alert on the socket in `accepted`."""

    sslobject_class = _Connection

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As in the standard library; remembers where an alert would go."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, _Connection):
            made.outgoing = outgoing
            made.sock = accepted.get()
        return made
