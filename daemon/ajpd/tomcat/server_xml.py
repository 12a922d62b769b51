"""server.xml as far as AJP is concerned: connectors with the engine and executors they belong to.

Law: reading a file never reads another one, apart from `catalina.properties` beside it, and takes
time and memory in proportion to its size. So a file that declares entities is refused: they could
name other files, or grow without end. What an attribute means is not known here.

Source: Tomcat `Digester` and `IntrospectionUtils.replaceProperties` for `${name}` and
`${name:-default}`; `AddPortOffsetRule`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import compress
from operator import not_
from pathlib import Path
from typing import Final
from xml.parsers import expat

from ajpd.config.errors import Findings, Place

__all__ = [
    "Attribute",
    "Connector",
    "Element",
    "ServerXml",
    "number_of",
    "read_properties",
    "read_server_xml",
]

#: Far more than anybody wrote so far.
MOST_BYTES: Final = 8 << 20

_REFERENCE: Final = re.compile(r"\$\{([^{}:]+)(?::-([^{}]*))?\}")
_ATTRIBUTE: Final = re.compile(rb"""\s+([^\s=<>/"']+)\s*=\s*("[^"]*"|'[^']*')""")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,10}")
_AJP: Final = re.compile(r"AJP/1\.3|org\.apache\.coyote\.ajp\.\w+", re.IGNORECASE)
_COMMENTED: Final = ('"AJP/1.3"', "'AJP/1.3'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of an element.

    Attributes:
        value: with its references replaced; None where one of them is not known.
        raw: as written.
        place: line in the file.
    """

    value: str | None
    raw: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """An element: its name, its attributes, and where it begins."""

    name: str
    attributes: Mapping[str, Attribute]
    place: Place

    def get(self, name: str) -> Attribute | None:
        """An attribute; None when it is not there."""
        return self.attributes.get(name)

    def text(self, name: str, default: str = "") -> str | None:
        """Value of an attribute, the default when it is not there, None when it is not known."""
        found = self.attributes.get(name)
        return default if found is None else found.value

    def where(self, name: str) -> Place:
        """Where an attribute is, or would have to be."""
        found = self.attributes.get(name)
        return self.place if found is None else found.place


@dataclass(slots=True)
class _Service:
    """A service while it is read."""

    connectors: list[Element] = field(default_factory=list)
    executors: dict[str, Element] = field(default_factory=dict)
    engine: Element | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """An AJP connector, and what it shares with others of its service.

    Attributes:
        element: its own.
        server: the root, which may shift all ports.
        engine: that answers; None in a broken file.
        executor: whose threads it uses; None when it has its own.
    """

    element: Element
    server: Element
    engine: Element | None
    executor: Element | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerXml:
    """A whole file.

    Attributes:
        file: as it was named.
        connectors: those that speak AJP.
        others: those that do not.
        commented: line of an AJP connector that stands in a comment; None for none.
    """

    file: str
    connectors: tuple[Connector, ...] = ()
    others: tuple[Connector, ...] = ()
    commented: int | None = None


def read_server_xml(
    path: str, findings: Findings, properties: Mapping[str, str] | None = None
) -> ServerXml | None:
    """Read a server.xml; what is wrong with it goes to `findings`.

    Args:
        path: of the file.
        findings: of the whole check.
        properties: system properties of that Tomcat; those of catalina.properties beside the file
            are known too.

    Returns:
        what it says, or None when it cannot be read.
    """
    findings.begin(path)
    try:
        data = _read(path)
    except OSError as exc:
        findings.error(Place(path), f"cannot be read: {exc.strerror or exc}")
        return None
    known = {**read_properties(Path(path).parent / "catalina.properties"), **(properties or {})}
    reader = _Reader(path, data, known)
    try:
        reader.read()
    except expat.ExpatError as exc:
        place = Place(path, exc.lineno, exc.offset + 1)
        findings.error(place, f"is no XML: {expat.ErrorString(exc.code)}")
        return None
    except (LookupError, ValueError) as exc:
        findings.error(Place(path, 1), f"is no XML that can be read here: {exc}")
        return None
    except _Refused as exc:
        findings.error(Place(path, exc.line), str(exc))
        return None
    return reader.found(findings)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(f"it has more than {MOST_BYTES} bytes")
    return data


def number_of(text: str) -> int | None:
    """A number as Java reads it; None where it is none."""
    return int(text) if _NUMBER.fullmatch(text) else None


def read_properties(path: Path) -> dict[str, str]:
    """System properties of a catalina.properties: single lines; none when there is no such file."""
    try:
        text = path.read_text(encoding="latin-1")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith(("#", "!")):
            found[name.strip()] = value.strip()
    return found


class _Refused(Exception):  # noqa: N818 - it is the file that is refused
    """Something in a file that is not read here."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


def _speaks_ajp(element: Element) -> bool:
    """Whether a connector does; one whose protocol is not known does not."""
    return _AJP.fullmatch(element.text("protocol") or "") is not None


class _Reader:
    """Reads one file."""

    def __init__(self, path: str, data: bytes, properties: Mapping[str, str]) -> None:
        self._path = path
        self._data = data
        self._properties = properties
        self._open: list[str] = []
        self._server: Element | None = None
        self._services: list[_Service] = []
        self._commented: int | None = None
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CommentHandler = self._comment
        self._parser.EntityDeclHandler = self._entity
        self._parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def read(self) -> None:
        self._parser.Parse(self._data, True)

    def found(self, findings: Findings) -> ServerXml | None:
        if self._server is None:
            findings.error(Place(self._path, 1), "is no server.xml: its root is not <Server>")
            return None
        connectors = tuple(self._connectors(self._server))
        speaks_ajp = [_speaks_ajp(each.element) for each in connectors]
        return ServerXml(
            file=self._path,
            connectors=tuple(compress(connectors, speaks_ajp)),
            others=tuple(compress(connectors, map(not_, speaks_ajp))),
            commented=self._commented,
        )

    def _connectors(self, server: Element) -> Iterable[Connector]:
        for service in self._services:
            for element in service.connectors:
                executor = element.text("executor")
                yield Connector(
                    element=element,
                    server=server,
                    engine=service.engine,
                    executor=service.executors.get(executor or ""),
                )

    def _begin(self, name: str, attributes: Mapping[str, str]) -> None:
        self._open.append(name)
        match self._open:
            case ["Server"]:
                self._server = self._element(name, attributes)
            case ["Server", "Service"]:
                self._services.append(_Service())
            case ["Server", "Service", "Connector"]:
                self._services[-1].connectors.append(self._element(name, attributes))
            case ["Server", "Service", "Executor"]:
                element = self._element(name, attributes)
                self._services[-1].executors[element.text("name") or ""] = element
            case ["Server", "Service", "Engine"]:
                self._services[-1].engine = self._element(name, attributes)

    def _end(self, name: str) -> None:
        self._open.pop()

    def _element(self, name: str, attributes: Mapping[str, str]) -> Element:
        line = self._parser.CurrentLineNumber
        lines = self._lines(line)
        return Element(
            name=name,
            attributes={
                key: Attribute(
                    value=self._replaced(raw),
                    raw=raw,
                    place=Place(self._path, *lines.get(key, (line, None))),
                )
                for key, raw in attributes.items()
            },
            place=Place(self._path, line, self._parser.CurrentColumnNumber + 1),
        )

    def _lines(self, line: int) -> dict[str, tuple[int, int]]:
        """Line and column of each attribute of the tag that begins here."""
        at = self._parser.CurrentByteIndex
        name = re.compile(rb"<[^\s/>]+").match(self._data, at)
        if name is None:
            return {}  # UTF-16, where attributes are told by their element
        found = {}
        pos, begin = name.end(), at - self._parser.CurrentColumnNumber
        while (match := _ATTRIBUTE.match(self._data, pos)) is not None:
            # Values may go over several lines too.
            line += self._data.count(b"\n", at, match.start(1))
            begin = max(begin, self._data.rfind(b"\n", at, match.start(1)) + 1)
            found[match[1].decode("utf-8", "replace")] = (line, match.start(1) - begin + 1)
            at = match.start(1)
            pos = match.end()
        return found

    def _replaced(self, raw: str) -> str | None:
        """A value with its references replaced; None where one is not known."""
        is_known = True

        def replace(match: re.Match[str]) -> str:
            nonlocal is_known
            value: str | None = self._properties.get(match[1], match[2])
            if value is None:
                is_known = False
                return match[0]
            return value

        text = _REFERENCE.sub(replace, raw)
        return text if is_known else None

    def _comment(self, text: str) -> None:
        at = max(text.find(protocol) for protocol in _COMMENTED)
        begin = text.rfind("<Connector", 0, at) if at >= 0 else -1
        if self._commented is None and begin >= 0 and ">" not in text[begin:at]:
            self._commented = self._parser.CurrentLineNumber + text.count("\n", 0, begin)

    def _entity(self, name: str, *_: object) -> None:
        raise _Refused(
            f"declares the entity {name!r}: files with entities are not read here; put its text "
            "in its place",
            self._parser.CurrentLineNumber,
        )
