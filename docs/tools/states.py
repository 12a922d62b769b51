"""Print the states of a connection as Markdown, out of `ajp.connection.TRANSITIONS`."""

from collections.abc import Iterator

from ajp.connection import TRANSITIONS, PacketEvent, Role, State

INTRO = {
    Role.WEB_SERVER: "The web server's end, which is ours in front of Tomcat:",
    Role.CONTAINER: "The container's end, which is ours in `ajp.serve`:",
}
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
        columns = [
            state for state in State if any(state in row.values() for row in states.values())
        ]
        yield f"{INTRO[role]}\n"
        yield "| from \\ to | " + " | ".join(state.name for state in columns) + " |"
        yield "|---" * (len(columns) + 1) + "|"
        for state, row in states.items():
            cells = [
                "<br>".join(arrow(role, event) for event, after in row.items() if after is target)
                for target in columns
            ]
            yield f"| **{state.name}** | " + " | ".join(cells) + " |"
        yield ""


def arrow(role: Role, event: PacketEvent) -> str:
    """A packet's name, and whether this end sends (→) or receives (←) it."""
    if event is PacketEvent.PEER_EOF:
        return f"← {event.name}"
    sent = (event in FROM_WEB_SERVER) is (role is Role.WEB_SERVER)
    return f"{'→' if sent else '←'} {event.name}"


if __name__ == "__main__":
    print("\n".join(lines()))
