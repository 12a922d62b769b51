"""Facts that are written down twice say the same: in Python, in C, and in docstrings."""

import inspect
import re
from pathlib import Path

import pytest

import ajp
from ajp import _codec, constants, errors
from ajp.constants import AttributeCode, PacketType
from ajp.errors import AJPError, Reason

SOURCES = Path(__file__).parents[2] / "ajp"
ENUM = re.compile(r"^cdef enum(?: \w+)?:\n((?:[ \t]+.*\n|\n)+)", re.MULTILINE)
NUMBER = re.compile(r"^\s+([A-Z]\w*) = (-?(?:0x[0-9A-Fa-f]+|\d+))\b", re.MULTILINE)


def numbers_in(text: str) -> dict[str, int]:
    """Names and values of every enum of a .pxd or .pyx file."""
    blocks = ENUM.findall(text)
    return {name: int(value, 0) for block in blocks for name, value in NUMBER.findall(block)}


def numbers_of(pattern: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in sorted(SOURCES.glob(pattern)):
        for name, value in numbers_in(path.read_text()).items():
            assert found.setdefault(name, value) == value, f"{name} has two values"
    return found


#: What the codec's interface and its sources say in C.
IN_PXD = numbers_of("_*.pxd")
IN_C = numbers_of("_*.p[xy][dx]")


def test_enums_are_found_in_the_sources() -> None:
    text = "cdef enum:\n    # words\n    AB = 1\n\n    C_D = 0x1234  # more\n    E = -2\nF = 3\n"
    assert numbers_in(text) == {"AB": 1, "C_D": 0x1234, "E": -2}
    assert numbers_in("cdef enum Named:\n    AB = 7\n") == {"AB": 7}


@pytest.mark.parametrize("kind", PacketType)
def test_packet_types_in_c(kind: PacketType) -> None:
    found = [IN_PXD[name] for name in (kind.name, f"{kind.name}_PACKET") if name in IN_PXD]
    assert found == [kind]


def test_attribute_codes_in_c() -> None:
    found = {name[5:]: n for name, n in IN_PXD.items() if name.startswith("ATTR_")}
    assert found == {name: AttributeCode[name] for name in found}
    # The rest of them never needs to be told apart.
    assert set(AttributeCode.__members__) - set(found) <= {"CONTEXT", "SERVLET_PATH"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAGIC_FROM_WEB_SERVER_U16", int.from_bytes(constants.MAGIC_FROM_WEB_SERVER, "big")),
        ("MAGIC_FROM_CONTAINER_U16", int.from_bytes(constants.MAGIC_FROM_CONTAINER, "big")),
        ("PACKET_HEADER", constants.HEADER_LEN),
        ("LARGEST_PACKET", constants.MAX_PACKET_SIZE),
        ("STORED_METHOD", constants.STORED_METHOD_CODE),
        ("MOST_HEADERS", constants.DEFAULT_MAX_HEADERS),
        ("METHOD_CODES", len(constants.METHODS) - 1),
        ("REQUEST_HEADER_CODES", len(constants.REQUEST_HEADERS) - 1),
        ("RESPONSE_HEADER_CODES", len(constants.RESPONSE_HEADERS) - 1),
        ("CONTENT_LENGTH_CODE", constants.REQUEST_HEADERS.index(b"content-length")),
    ],
)
def test_other_numbers_in_c(name: str, value: int) -> None:
    assert IN_C[name] == value


def test_tolerances_in_c() -> None:
    found = {name[9:]: n for name, n in IN_C.items() if name.startswith("TOLERATE_")}
    flags = {flag.name: flag.value for flag in constants.Tolerate}
    assert found == flags
    assert sorted(flags.values()) == [1 << bit for bit in range(len(flags))]


def test_sizes_of_packets() -> None:
    assert constants.MIN_PACKET_SIZE <= constants.DEFAULT_PACKET_SIZE <= constants.MAX_PACKET_SIZE
    body, chunk = b"x" * (8192 - 6), b"x" * (8192 - 8)
    overhead = len(_codec.encode_request_body(body)) - len(body)
    assert overhead == constants.REQUEST_BODY_OVERHEAD
    overhead = len(_codec.encode_send_body_chunk(chunk)) - len(chunk)
    assert overhead == constants.RESPONSE_BODY_OVERHEAD


# --- tables ---------------------------------------------------------------------------------------

TABLES = {
    "METHODS": constants.METHODS,
    "REQUEST_HEADERS": constants.REQUEST_HEADERS,
    "RESPONSE_HEADERS": constants.RESPONSE_HEADERS,
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_names(name: str) -> None:
    table = TABLES[name]
    assert table[0] == b""
    assert len({entry.lower() for entry in table}) == len(table)
    assert all(re.fullmatch(rb"[A-Za-z0-9-]+", entry) for entry in table[1:])


def test_spelling_in_tables() -> None:
    assert all(name == name.upper() for name in constants.METHODS)
    assert all(name == name.lower() for name in constants.REQUEST_HEADERS)


def test_attribute_codes_have_no_gap() -> None:
    assert [*AttributeCode] == list(range(1, len(AttributeCode) + 1))
    assert max(AttributeCode) < constants.ATTRIBUTES_DONE


# --- errors ---------------------------------------------------------------------------------------


def test_every_reason_has_a_status() -> None:
    assert set(errors.REASON_STATUS) == set(Reason)
    assert all(400 <= status <= 599 for status in errors.REASON_STATUS.values())
    assert all(reason.value == reason.name.lower() for reason in Reason)


def drawn_tree(docstring: str) -> dict[str, str | None]:
    """Child and parent of every line of the tree in a docstring."""
    parents: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for match in re.finditer(r"^([ │├└─]*)([A-Z]\w+)", docstring, re.MULTILINE):
        depth, name = len(match[1]), match[2]
        if not path and name != "AJPError":
            continue
        if path and not set(match[1]) & set("├└"):
            break
        while path and path[-1][0] >= depth:
            path.pop()
        parents[name] = path[-1][1] if path else None
        path.append((depth, name))
    return parents


def exceptions() -> dict[str, type[BaseException]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException)
    }


def test_tree_of_exceptions_is_the_one_drawn() -> None:
    parents = drawn_tree(errors.__doc__ or "")
    assert parents["AJPError"] is None
    real: dict[str, str | None] = {
        name: next((base.__name__ for base in kind.__bases__ if issubclass(base, AJPError)), None)
        for name, kind in exceptions().items()
    }
    assert parents == real


def test_other_bases_are_the_ones_drawn() -> None:
    drawn = dict(re.findall(r"(\w+)[ ]+\(also (\w+)\)", errors.__doc__ or ""))
    real = {
        name: base.__name__
        for name, kind in exceptions().items()
        for base in kind.__bases__
        if not issubclass(base, AJPError) and base is not Exception
    }
    assert drawn == real


def test_exported_errors_are_all_of_them() -> None:
    public = {"Progress", "Reason", "REASON_STATUS"}
    assert set(errors.__all__) == exceptions().keys() | public


# --- public names ---------------------------------------------------------------------------------


def test_public_names_are_sorted_and_unique() -> None:
    assert len(set(ajp.__all__)) == len(ajp.__all__)
    assert all(hasattr(ajp, name) for name in ajp.__all__)


@pytest.mark.parametrize("name", ajp.__all__)
def test_public_names_are_described(name: str) -> None:
    value = getattr(ajp, name)
    if not inspect.isclass(value) and not inspect.isroutine(value):
        return  # a constant or an alias of types; the comment beside it speaks
    text = (value.__doc__ or "").strip()
    assert text
    assert value.__doc__ not in {base.__doc__ for base in getattr(value, "__mro__", ())[1:]}
    # Cython puts the signature in front.
    assert [line for line in text.splitlines() if not line.startswith(f"{name}(")]
