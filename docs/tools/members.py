"""Print the states of a balancer's member as Markdown, out of `ajp.lb.member.TRANSITIONS`."""

from collections.abc import Iterator

from states import table

from ajp.lb.member import TRANSITIONS


def lines() -> Iterator[str]:
    """One table, without the events that leave a state as it is."""
    moving = {
        state: {event: after for event, after in row.items() if after is not state}
        for state, row in TRANSITIONS.items()
    }
    return table(moving, lambda state: state.label, lambda event: event.name)


if __name__ == "__main__":
    print("\n".join(lines()))
