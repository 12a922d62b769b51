"""Directives of Apache's core and of other modules → a draft, or a remark.

Names and addresses of servers, TLS, proxies in front, a few times; and for everything else what
`elsewhere.py` says.

Source: httpd `server/core.c`, `modules/ssl/ssl_engine_config.c`, `modules/metadata/mod_remoteip.c`.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Final

from ajpd.config.errors import suggest

from .draft import Draft, Guard, Server
from .elsewhere import saying
from .parameters import duration
from .proxy import ProxyReader, milliseconds
from .reading import Statement, setting
from .remarks import Remarks
from .syntax import Block, Line, words_of

__all__ = ["AroundReader"]

_KEPT_TLS: Final = frozenset(
    (
        *("sslengine", "sslcertificatefile", "sslcertificatekeyfile", "sslcertificatechainfile"),
        *("sslcacertificatefile", "sslcacertificatepath", "sslverifyclient", "sslprotocol"),
        *("sslciphersuite", "sslusername"),
    )
)
#: What a request would be changed or refused by, if it counted for it.
_GUARDS: Final = frozenset(("require", "order", "allow", "deny", "satisfy"))
_FREE: Final = frozenset(("all granted", "from all", "allow,deny", "deny,allow"))


class AroundReader:
    """Takes statements that are neither mod_jk's nor mod_proxy's.

    Args:
        draft: gets what they say.
        proxy: gets rules of mod_rewrite that hand requests on.
        remarks: of the whole import.
        known: names of all directives that are understood, for slips of the pen.
    """

    def __init__(
        self, draft: Draft, proxy: ProxyReader, remarks: Remarks, known: Sequence[str]
    ) -> None:
        self._draft = draft
        self._proxy = proxy
        self._remarks = remarks
        self._known = known
        self._has_condition: set[int] = set()
        self._takers: dict[str, Callable[[Statement], None]] = {
            "servername": self._server_name,
            "serveralias": self._server_name,
            "listen": self._listen,
            "rewriterule": self._rewrite,
            "rewritecond": self._condition,
            "setenv": self._environment,
            "sethandler": self._handler,
            "addhandler": self._handler,
            "keepalivetimeout": self._keep_alive,
            "limitrequestbody": self._body,
            "remoteipheader": self._forwarded,
            "remoteiptrustedproxy": self._trust,
            "remoteipinternalproxy": self._trust,
            "remoteipproxyprotocol": self._proxy_protocol,
        }

    def take(self, statement: Statement) -> None:
        """Understand one of them, or say why not."""
        key = statement.key
        if key.startswith("<"):
            self._section(statement)
        elif key in _KEPT_TLS and statement.words and not statement.blocks:
            place = statement.server.tls.setdefault(key, [])
            place.append(setting(statement, " ".join(statement.words)))
        elif key in self._takers and statement.words:
            self._takers[key](statement)
        else:
            self._say(statement)

    def _section(self, statement: Statement) -> None:
        """Only what is in a section is of interest, unless it is one that decides something."""
        kind = statement.key.removeprefix("<")
        if kind in ("if", "elseif", "else"):
            self._remarks.note(
                statement.place,
                f"{statement.name} {statement.line.args}>",
                "rules here know nothing but name and path of a request",
            )

    def _say(self, statement: Statement) -> None:
        key, place, name = statement.key, statement.place, statement.name
        found = saying(key)
        if found is None:
            close = self._begun(key) or suggest(name, self._known)
            hint = f"{close} may be meant" if close else "look up what it does in Apache"
            self._remarks.warn(place, name, "no such directive is known, and it is left out", hint)
            return
        is_note, reason, advice = found
        is_guard = key in _GUARDS or key.startswith(("auth", "shib"))
        worker = _mounted(statement.block)
        if key in _GUARDS and worker:
            self._draft.guards.append(
                Guard(
                    worker=worker,
                    directive=name,
                    words=statement.words,
                    place=place,
                    is_free=self._is_free(statement),
                )
            )
        elif is_guard and self._is_free(statement):
            self._remarks.note(place, name, "everybody who reaches ajpd gets there")
        elif is_note:
            self._remarks.note(place, name, reason, advice)
        else:
            self._remarks.warn(place, name, reason, advice)

    def _is_free(self, statement: Statement) -> bool:
        """It lets everybody in, or is about files, of which there are none here."""
        block = statement.block
        about_files = block is not None and block.name.lower().startswith(("directory", "files"))
        if statement.key == "deny" and not about_files:
            return _lets_in(block)
        return about_files or " ".join(statement.words).lower() in _FREE

    def _begun(self, key: str) -> str:
        """`JkLogFile/path`: no blank behind the name."""
        names = [known for known in self._known if key.startswith(known.lower()) and known != key]
        return f"{max(names, key=len)} with a blank behind it" if names else ""

    # --- servers ----------------------------------------------------------------------------------

    def _server_name(self, statement: Statement) -> None:
        server: Server = statement.server
        if server.is_main:
            self._remarks.note(
                statement.place, statement.name, "all names count outside of virtual hosts"
            )
            return
        names = [(word, statement.place) for word in statement.words]
        if statement.key == "servername":
            server.names[:0] = names[:1]
        else:
            server.names += names

    def _listen(self, statement: Statement) -> None:
        address, *protocol = statement.words
        self._draft.listens.append(
            (address, protocol[0].lower() if protocol else "", statement.place)
        )

    # --- mod_rewrite, mod_env ---------------------------------------------------------------------

    def _condition(self, statement: Statement) -> None:
        self._has_condition.add(id(statement.server))
        self._say(statement)

    def _rewrite(self, statement: Statement) -> None:
        """A rule with [P] that leads to a container is a rule here, if nothing else decides."""
        words = statement.words
        flags = words[2].strip("[]").upper().split(",") if len(words) > 2 else []
        has_condition = id(statement.server) in self._has_condition
        self._has_condition.discard(id(statement.server))
        is_proxied = bool({"P", "PROXY"} & set(flags))
        url = words[1].lower() if len(words) > 1 else ""
        if not is_proxied or not url.startswith(("ajp://", "balancer://", "unix:")):
            self._say(statement)
        elif has_condition or statement.blocks or words[0].startswith("!"):
            self._remarks.error(
                statement.place,
                statement.name,
                "it leads to a container under conditions, and rules here know nothing but name "
                "and path of a request; it is left out",
                "write a rule into [mount] if its path tells enough",
            )
        else:
            self._proxy.take_rewritten(statement, words[0], words[1])

    def _environment(self, statement: Statement) -> None:
        name, *value = statement.words
        if statement.blocks:
            self._say(statement)
            return
        self._draft.environment[name] = setting(statement, value[0] if value else "")

    def _handler(self, statement: Statement) -> None:
        """mod_jk takes requests by their handler as well, whatever rules say."""
        if statement.words[0].lower() not in ("jakarta-servlet", "jk_handler"):
            self._say(statement)
            return
        self._remarks.error(
            statement.place,
            statement.name,
            "mod_jk leads these requests to the worker that JkWorkerIndicator names; rules here "
            "know nothing but name and path of a request",
            "write a rule for their paths into [mount]",
        )

    # --- keys of [server] -------------------------------------------------------------------------

    def _keep_alive(self, statement: Statement) -> None:
        time_ms = milliseconds(statement.words[0])
        if time_ms is None or not statement.server.is_main:
            self._say_own(statement, "keepalive_timeout")
            return
        self._draft.set("server", "keepalive_timeout", setting(statement, duration(time_ms)))

    def _body(self, statement: Statement) -> None:
        word = statement.words[0]
        if not statement.server.is_main or statement.blocks or not re.fullmatch("[0-9]+", word):
            self._say_own(statement, "max_body_bytes")
            return
        self._draft.set("server", "max_body_bytes", setting(statement, int(word)))

    def _say_own(self, statement: Statement, key: str) -> None:
        self._remarks.warn(
            statement.place,
            statement.name,
            f"{key} in [server] counts for all of ajpd, and this is for a part only; it is left "
            "out",
        )

    def _forwarded(self, statement: Statement) -> None:
        if statement.words[0].lower() == "x-forwarded-for":
            self._draft.set("server", "forwarded_headers", setting(statement, "x-forwarded"))
            return
        self._remarks.warn(
            statement.place,
            statement.name,
            f"{statement.words[0]} is not read: X-Forwarded-For and Forwarded are",
            "let the proxy in front send one of these",
        )

    def _trust(self, statement: Statement) -> None:
        networks: list[str] = []
        before = self._draft.settings.get("server", {}).get("trusted_proxies")
        if before is not None and isinstance(before.value, list):
            networks += [str(each) for each in before.value]
        for word in statement.words:
            try:
                networks.append(str(ipaddress.ip_network(word, strict=False)))
            except ValueError:
                self._remarks.warn(
                    statement.place,
                    statement.name,
                    f"{word} is no network in numbers, and left out",
                    "write its addresses into trusted_proxies of [server]",
                )
        if networks:
            found = list(dict.fromkeys(networks))
            self._draft.set("server", "trusted_proxies", setting(statement, found))

    def _proxy_protocol(self, statement: Statement) -> None:
        self._remarks.note(
            statement.place,
            statement.name,
            "a PROXY header is understood from whoever is in trusted_proxies of [server]",
        )


def _mounted(block: Block | None) -> str:
    """The worker of a JkMount in the same Location, or an empty text."""
    lines = [] if block is None else [each for each in block.children if isinstance(each, Line)]
    for line in lines:
        words = words_of(line.args)
        if line.name.lower() == "jkmount" and len(words) == 1:
            return words[0]
    return ""


def _lets_in(block: Block | None) -> bool:
    """What Deny says is taken back by an Allow that counts behind it."""
    lines = [] if block is None else [each for each in block.children if isinstance(each, Line)]
    said = {f"{line.name} {line.args}".lower() for line in lines}
    return {"allow from all", "order deny,allow"} <= said
