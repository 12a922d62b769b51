"""A real Tomcat with several contexts, the daemon and Apache with mod_jk before one of them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ajp import Client as AJPClient
from tests.interop.apache import Apache
from tests.interop.daemon import Daemon
from tests.interop.front import Front
from tests.interop.rawhttp import Broken, Client
from tests.interop.tomcat import Connector, Tomcat, TomcatOptions, build_application

from .case import Case

_HERE = Path(__file__).parent
_CONTEXTS = ("", "/app", "/other", "/application", "/APP", "/witness")
_CONTEXT = '<Context path="{path}" docBase="{base}" containerSciFilter=".*" />'
#: Longest wait for an answer, in seconds; a server that waits itself is left then.
_PATIENCE = 2.0
#: Longest wait for a servlet to notice the end of a request that broke off.
_SETTLING = 0.3
_TAIL = b"/app/tail"
_FRAMING = (b"content-length:", b"transfer-encoding:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """One request as a servlet had it."""

    end: str
    method: bytes
    context: bytes
    path: bytes
    uri: bytes
    query: bytes | None
    body: bytes
    facts: bytes
    headers: tuple[bytes, ...]

    @property
    def words(self) -> str:
        """What was executed, and what it was resolved to where that is not plain."""
        query = b"" if self.query is None else b"?" + self.query
        text = (self.method + b" " + self.uri + query).decode("ascii", "backslashreplace")
        text = text if len(text) < 80 else f"{text[:60]} and so on"
        if self.body or self.end == "short":
            text += f" with {len(self.body)} bytes"
        if self.end == "short":
            text += ", ended as if whole"
        resolved = self.context + self.path
        if resolved != self.uri:
            text += f", resolved to {resolved.decode('ascii', 'backslashreplace')}"
        return text

    @property
    def fields(self) -> frozenset[bytes]:
        """Headers that do not frame the message; `host` as well."""
        lines = {name.lower() + b": " + value for name, _, value in self._pairs()}
        return frozenset(line for line in lines if not line.startswith((b"connection:", *_FRAMING)))

    def _pairs(self) -> list[tuple[bytes, bytes, bytes]]:
        return [line.partition(b":") for line in self.headers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a client was told, and what was executed for it.

    Attributes:
        answers: statuses of the whole responses, in order.
        waited: nothing more came for a while.
        executed: in order; whole, or ended by the front as if they were.
    """

    answers: tuple[int, ...]
    waited: bool
    executed: tuple[Executed, ...]

    @property
    def stays(self) -> bool:
        """The tail was executed."""
        return any(each.uri == _TAIL for each in self.executed)

    @property
    def own(self) -> tuple[Executed, ...]:
        """What was executed of the case itself."""
        return tuple(each for each in self.executed if each.uri != _TAIL)

    @property
    def words(self) -> str:
        """All of that in one line, but headers."""
        answers = self.answers[:-1] if self.stays else self.answers
        text = ", ".join(map(str, answers)) or ("waits" if self.waited else "no answer")
        for each in self.own:
            text += f"; {each.words}"
        return text + ("; connection stays" if self.stays else "; connection ends")


class Witness:
    """Asks Tomcat what was executed, past every front."""

    def __init__(self, connector: Connector) -> None:
        address = f"{connector.host}:{connector.port}"
        self._client = AJPClient(address, secret=connector.secret)

    def take(self) -> tuple[Executed, ...]:
        """All that was executed since the last time."""
        text = self._client.get("/witness/").content.decode("ascii")
        return tuple(_executed(line) for line in text.splitlines())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _executed(line: str) -> Executed:
    end, method, context, path, uri, query, body, facts, *headers = line.split(" ")
    return Executed(
        end=_raw(end).decode("ascii"),
        method=_raw(method),
        context=_raw(context),
        path=_raw(path),
        uri=_raw(uri),
        query=None if query == "-" else _raw(query),
        body=_raw(body),
        facts=_raw(facts),
        headers=tuple(map(_raw, headers)),
    )


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("x"))


@dataclass(frozen=True, slots=True)
class Servers:
    """Both fronts, and who tells what came of what they were sent."""

    ajpd: Front
    apache: Front
    witness: Witness

    def tell(self, front: Front, case: Case) -> Told:
        """Play a case."""
        self.witness.take()
        answers: list[int] = []
        waited = is_over = False
        method = case.first_method.decode("latin-1")
        with Client(front.address, timeout=_PATIENCE) as client:
            try:
                client.send(case.stream)
                if case.is_cut:
                    client.half_close()
                while not is_over:
                    response = client.response(method)
                    answers.append(response.status)
                    is_over = response.body == _TAIL
                    method = "GET"
            except TimeoutError:
                waited = True
            except (Broken, ConnectionError):
                pass  # told by the number of answers
        executed = [*self.witness.take()]
        # What is broken off is told when the servlet has found out.
        deadline = time.monotonic() + (_SETTLING if case.is_cut else 0.0)
        while not executed and time.monotonic() < deadline:
            executed += self.witness.take()
        return Told(
            answers=tuple(answers),
            waited=waited,
            executed=tuple(each for each in executed if each.end != "broken"),
        )


@contextmanager
def servers(directory: Path) -> Iterator[Servers]:
    """Start everything, stop everything."""
    with ExitStack() as stack:
        application = build_application(_HERE / "webapp", directory)
        tomcat = Tomcat("tomcat", directory, application, TomcatOptions(packet_sizes=(8192,)))
        connector = tomcat.connectors[8192]
        _replace(
            directory / "tomcat/conf/server.xml",
            _CONTEXT.format(path="/app", base=application),
            "\n".join(_CONTEXT.format(path=path, base=application) for path in _CONTEXTS),
        )
        base = directory / "mod_jk"
        base.mkdir()
        base.chmod(0o755)
        apache = Apache(base, (connector,))
        _replace(
            base / "httpd.conf",
            "JkMount /app worker8192",
            "JkUnMount /app/private/* worker8192",
        )
        daemon = Daemon(directory / "ajpd", connector)
        _replace(directory / "ajpd/ajpd.toml", '"/app" = "tomcat"', '"!/app/private/*" = "tomcat"')
        stack.callback(tomcat.stop)
        tomcat.start()
        stack.callback(apache.stop)
        apache.start()
        stack.callback(daemon.stop)
        front = daemon.start()
        witness = Witness(connector)
        stack.callback(witness.close)
        yield Servers(front, apache.front(8192), witness)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")
