import pytest

from ajpd.importing.remarks import Remarks
from ajpd.importing.syntax import Block, Line, parse, words_of


def parsed(text: str) -> tuple[list[object], list[str]]:
    """Directives as (line, name, args), sections as (line, name, args, children); remarks."""
    remarks = Remarks()

    def plain(node: Line | Block) -> object:
        line = node.place.line
        if isinstance(node, Block):
            return line, node.name, node.args, [plain(child) for child in node.children]
        return line, node.name, node.args

    nodes = [plain(node) for node in parse(text, "f", remarks)]
    return nodes, [f"{each.place.line}: {each.words}" for each in remarks.all]


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("", []),
        ("# no\n  \t# no\n\n", []),
        ("A b", [(1, "A", "b")]),
        ("  A\tb  c \r\nB\r\n", [(1, "A", "b  c"), (2, "B", "")]),
        ("\ufeffA b", [(1, "A", "b")]),
        ("A b\\\n c \\\n  d\nB", [(1, "A", "b c   d"), (4, "B", "")]),
        ("A b\\\r\nc\r\n", [(1, "A", "bc")]),
        ("A b\\ \nC", [(1, "A", "b\\"), (2, "C", "")]),
        ("# comment \\\nA b\nC", [(3, "C", "")]),
        ("A b\\", [(1, "A", "b")]),
        ("\\\n\\", []),
        ("<X>\nA b\n</X>", [(1, "X", "", [(2, "A", "b")])]),
        ("<Location  / >\n</location>", [(1, "Location", "/", [])]),
        ("<Proxy\tbalancer://a x=>>\n</Proxy>", [(1, "Proxy", "balancer://a x=>", [])]),
        ("<X 1>\n<Y>\nA\n</Y>\n</X>", [(1, "X", "1", [(2, "Y", "", [(3, "A", "")])])]),
        ("\u00a0A b", [(1, "\u00a0A", "b")]),
    ],
)
def test_what_is_there(text: str, nodes: list[object]) -> None:
    assert parsed(text) == (nodes, [])


@pytest.mark.parametrize(
    ("text", "nodes", "remark"),
    [
        ("<X>\nA", [(1, "X", "", [(2, "A", "")])], "1: <X>: the section is never closed"),
        ("</X>\nA", [(2, "A", "")], "1: </X>: no such section is open"),
        ("<X\nA\n</X>", [(1, "X", "", [(2, "A", "")])], "1: <X: there is no '>' at its end"),
        (
            "<X>\n<Y 2>\nA\n</X>\nB",
            [(1, "X", "", [(2, "Y", "2", [(3, "A", "")])]), (5, "B", "")],
            "2: <Y 2>: the section is not closed before </X> on line 4",
        ),
    ],
)
def test_what_apache_does_not_start_with(text: str, nodes: list[object], remark: str) -> None:
    found, (said,) = parsed(text)
    assert found == nodes
    assert said.startswith(remark)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("", []),
        ("a  b\tc", ["a", "b", "c"]),
        ('"a b" c', ["a b", "c"]),
        ("'a \"b\"' c", ['a "b"', "c"]),
        (r'"a \"b\" \\ \n"', [r'a "b" \ \n']),
        ('"a b', ["a b"]),
        ('""', [""]),
        ('a"b c"', ['a"b', 'c"']),
        ('"a"b', ["a", "b"]),
        ("\u00a0a", ["\u00a0a"]),
        ('"a\\', ["a\\"]),
    ],
)
def test_words(args: str, words: list[str]) -> None:
    assert words_of(args) == words
