"""`ajpd top`: the status table in a terminal, live, with keys for what an operator does.

Shows what `status.top_form` makes of a report, and does what `status.actions` does; it knows
neither files nor tables. Needs textual, which the daemon itself does not.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Sparkline, Static

from .status.rates import Rates
from .status.report import Report
from .status.top_form import HEADS, Row, details, rows, summary

__all__ = ["Top", "run"]

_STYLES: Final = {"fine": "", "worse": "yellow", "bad": "bold red"}
_TEXTS: Final = frozenset(("MEMBER", "ADDRESS", "ACT", "STATE"))
#: What each key does to the member under the cursor, and how that is called.
_ACTIONS: Final = {
    "d": ("drain", "give no new sessions to"),
    "s": ("stop", "give no requests at all to"),
    "a": ("activate", "give all requests to"),
    "r": ("recover", "try again now"),
    "x": ("reset", "begin the counts anew of"),
}


class _Question(ModalScreen[bool]):
    """Asks before something is changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]
    DEFAULT_CSS = """
    _Question { align: center middle; }
    _Question Static { width: auto; padding: 1 3; border: round $accent; background: $panel; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """One line."""
        yield Static(Text(f"{self._text}? y/n"))

    def action_answer(self, answer: bool) -> None:
        """A key was pressed."""
        self.dismiss(answer)


class Top(App[None]):
    """The screen.

    Args:
        look: makes a new report.
        act: does what a word of `_ACTIONS` says to a member; returns what was done, or raises
            ValueError with the reason why not.
        interval: seconds between two looks.
    """

    TITLE = "ajpd"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #summary { padding: 0 1; }
    #pace { height: 2; margin: 0 1; }
    DataTable { height: 1fr; }
    #details { height: auto; max-height: 8; padding: 0 1; border-top: solid $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"do('{word}')", word.capitalize()) for key, (word, _) in _ACTIONS.items()),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self,
        look: Callable[[], Report],
        act: Callable[[str, str], Sequence[str]],
        *,
        interval: float = 2.0,
    ) -> None:
        super().__init__()
        self._look = look
        self._act = act
        self._interval = interval
        self._rates = Rates()
        self._rows: list[Row] = []
        self._report: Report | None = None

    def compose(self) -> ComposeResult:
        """Summary, pace, table, details."""
        yield Static(id="summary")
        yield Sparkline([], id="pace")
        with Vertical():
            yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static(id="details")
        yield Footer()

    def on_mount(self) -> None:
        """The screen is there."""
        table = self._table
        for head in HEADS:
            right = head not in _TEXTS
            table.add_column(Text(head, justify="right" if right else "left"), key=head)
        self.look()
        self.set_interval(self._interval, self.look)

    @property
    def _table(self) -> "DataTable[Text]":
        return self.query_one(DataTable)

    def look(self) -> None:
        """Show what is now."""
        try:
            report = self._look()
        except ValueError as exc:
            self.exit(message=str(exc), return_code=1)
            return
        self._report = report
        self._rates.note(report)
        self.query_one("#summary", Static).update(Text(summary(report, self._rates)))
        if report.front is not None:
            self.query_one(Sparkline).data = self._rates.line(report.front)
        self._fill(rows(report, self._rates))
        self._describe()

    def _fill(self, found: list[Row]) -> None:
        """Change cells where they are; only other rows make a new table."""
        table = self._table
        if [row.name for row in found] != [row.name for row in self._rows]:
            table.clear()
            for row in found:
                table.add_row(*_cells(row), key=row.name)
        else:
            for row in found:
                for head, cell in zip(HEADS, _cells(row), strict=True):
                    table.update_cell(row.name, head, cell)
        self._rows = found

    def _describe(self) -> None:
        row = self._row
        lines: Sequence[str] = ()
        if row is not None and self._report is not None:
            lines = details(self._report, row.name) or ("nothing is wrong",)
        self.query_one("#details", Static).update(Text("\n".join(lines)))

    @property
    def _row(self) -> Row | None:
        """The one under the cursor."""
        at = self._table.cursor_row
        return self._rows[at] if 0 <= at < len(self._rows) else None

    def on_data_table_row_highlighted(self) -> None:
        """The cursor moved."""
        self._describe()

    def action_do(self, word: str) -> None:
        """A key of `_ACTIONS`: ask, then do it."""
        row = self._row
        if row is None or (not row.is_member and word != "reset"):
            self.notify("this is about members of balancers", severity="warning")
            return
        words = next(text for known, text in _ACTIONS.values() if known == word)
        self.push_screen(
            _Question(f"{word.capitalize()}: {words} {row.name}"),
            lambda yes: self._do(word, row.name) if yes else None,
        )

    def _do(self, word: str, name: str) -> None:
        try:
            done = self._act(word, name)
        except ValueError as exc:
            self.notify(str(exc), severity="error")
            return
        self.notify("\n".join(done))
        self.look()


def _cells(row: Row) -> list[Text]:
    style = _STYLES[row.health]
    return [
        Text(cell, style=style, justify="left" if head in _TEXTS else "right")
        for head, cell in zip(HEADS, row.cells, strict=True)
    ]


def run(
    look: Callable[[], Report], act: Callable[[str, str], Sequence[str]], *, interval: float
) -> int:
    """Show the screen until its user leaves; returns an exit code."""
    app = Top(look, act, interval=interval)
    app.run()
    return app.return_code or 0
