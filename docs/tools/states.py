"""Print the states of a connection as Markdown, out of `ajp.connection.TRANSITIONS`."""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from typing import TypeVar

from ajp.connection import TRANSITIONS, PacketEvent, Role

INTRO = {
    Role.WEB_SERVER: "The web server's end, which is ours in front of Tomcat:",
    Role.CONTAINER: "The container's end, which is ours in `ajp.serve`:",
}
S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)

FROM_WEB_SERVER = {
    PacketEvent.FORWARD_REQUEST,
    PacketEvent.REQUEST_BODY,
    PacketEvent.CPING,
    PacketEvent.PING,
    PacketEvent.SHUTDOWN,
}


def lines() -> Iterator[str]:
    """One table for each end: a row for each state, a column for each state that follows."""
    for role, states in TRANSITIONS.items():
        yield f"{INTRO[role]}\n"
        yield from table(states, lambda state: state.name, partial(arrow, role))


def table(
    transitions: Mapping[S, Mapping[E, S]], title: Callable[[S], str], word: Callable[[E], str]
) -> Iterator[str]:
    """A row for each state, a column for each that follows, in the cells what leads there."""
    followers = {after for row in transitions.values() for after in row.values()}
    columns = [state for state in transitions if state in followers]
    yield "| from \\ to | " + " | ".join(map(title, columns)) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for state, row in transitions.items():
        cells = [
            "<br>".join(word(event) for event, after in row.items() if after is target)
            for target in columns
        ]
        yield f"| **{title(state)}** | " + " | ".join(cells) + " |"
    yield ""


def arrow(role: Role, event: PacketEvent) -> str:
    """A packet's name, and whether this end sends (→) or receives (←) it."""
    if event is PacketEvent.PEER_EOF:
        return f"← {event.name}"
    sent = (event in FROM_WEB_SERVER) is (role is Role.WEB_SERVER)
    return f"{'→' if sent else '←'} {event.name}"


if __name__ == "__main__":
    print("\n".join(lines()))
