"""The terminal that shows the status table: what is on it, and what its keys do."""

from pathlib import Path

import pytest
from textual.widgets import DataTable, Static

from ajp.errors import Reason
from ajp.lb import Activation
from ajpd.status.actions import Operator
from ajpd.status.collect import collect
from ajpd.status.rates import Rates
from ajpd.status.report import Report
from ajpd.status.top_form import HEADS, as_lines, details, rows
from ajpd.top import Top
from tests.unit.status.stage import Daemon

NAMES = ["lb/nodeA", "lb/nodeB", "other/nodeB", "alone"]


class Site:
    def __init__(self, folder: Path) -> None:
        self.daemon = Daemon(folder)
        self.done: list[tuple[str, str]] = []
        self.trouble = ""

    def look(self) -> Report:
        if self.trouble:
            raise ValueError(self.trouble)
        return collect(self.daemon.table, self.daemon.config)

    def act(self, word: str, name: str) -> list[str]:
        self.done.append((word, name))
        operator = Operator(self.daemon.table, self.daemon.config)
        if word == "recover":
            raise ValueError("only a member in ERR can be")
        activation = {"drain": Activation.DISABLED}.get(word, Activation.ACTIVE)
        return [*map(str, operator.set_activation(operator.members(name), activation))]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def cells(app: Top) -> list[list[str]]:
    table = app.query_one(DataTable)
    return [[str(cell) for cell in table.get_row_at(n)] for n in range(table.row_count)]


def said(app: Top) -> str:
    return str(app.query_one("#details", Static).content)


async def test_everybody_is_there(site: Site) -> None:
    app = Top(site.look, site.act)
    async with app.run_test(size=(140, 30)) as pilot:
        await pilot.pause()
        assert [row[0] for row in cells(app)] == NAMES
        assert "1 process" in str(app.query_one("#summary", Static).content)
        assert said(app) == "nothing is wrong"
        await pilot.press("q")
    assert app.return_code == 0


async def test_what_moves_is_shown_where_it_is(site: Site) -> None:
    app = Top(site.look, site.act)
    async with app.run_test(size=(140, 30)) as pilot:
        await pilot.press("down")
        slots = site.daemon.slots
        for _ in range(3):
            site.daemon.column.begun(slots["lb/nodeB"])
        site.daemon.column.finished(
            slots["lb/nodeB"], duration_us=5000, status=502, reason=Reason.CONNECT_REFUSED, now=1.0
        )
        app.look()
        await pilot.pause()
        row = dict(zip(HEADS, cells(app)[1], strict=True))
        assert row["IN-FLIGHT"] == "3"
        assert row["P50"] != "-"
        assert app.query_one(DataTable).cursor_row == 1
        assert "1 connect_refused" in said(app)


async def test_a_key_asks_and_then_does_it(site: Site) -> None:
    app = Top(site.look, site.act)
    async with app.run_test(size=(140, 30)) as pilot:
        await pilot.press("down", "d")
        assert site.done == []
        await pilot.press("n")
        assert site.done == []
        await pilot.press("d", "y")
        await pilot.pause()
        assert site.done == [("drain", "lb/nodeB")]
        assert dict(zip(HEADS, cells(app)[1], strict=True))["ACT"] == "DIS"
        assert "drains: 0 in flight" in said(app)


async def test_what_cannot_be_done_is_said(site: Site) -> None:
    app = Top(site.look, site.act)
    async with app.run_test(size=(140, 30), notifications=True) as pilot:
        await pilot.press("r", "y")
        await pilot.pause()
        assert [note.message for note in app._notifications] == ["only a member in ERR can be"]
        await pilot.press("down", "down", "down", "d")
        await pilot.pause()
        assert len(site.done) == 1
        assert len(app._notifications) == 2


async def test_it_ends_with_the_daemon(site: Site) -> None:
    app = Top(site.look, site.act)
    async with app.run_test() as pilot:
        site.trouble = "no ajpd runs with ajpd.toml"
        app.look()
        await pilot.pause()
    assert app.return_code == 1


def test_as_lines(site: Site) -> None:
    report = site.look()
    text = "\n".join(as_lines(report, Rates()))
    assert [line.split()[0] for line in text.splitlines()[3:]] == NAMES
    assert all(len(row.cells) == len(HEADS) for row in rows(report, Rates()))
    assert details(report, "nobody") == []
