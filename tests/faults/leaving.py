"""Containers that are not there, go away, or say nothing more: rows of the fault matrix."""

from collections.abc import Iterator
from typing import Any, Final

from tests.faults.cells import Fault, Harm, Section, Took, begin
from tests.faults.container import (
    CPONG,
    FLUSH,
    Script,
    Step,
    ask,
    chunk,
    cut,
    headers,
    never,
    once_seen,
    read_body,
    reset,
    send,
    stall,
    swallow,
)

#: Times that run out in a cell.
SOON_MS: Final = 100
_SILENT: Final = {"reply_timeout_ms": SOON_MS}
_NO_PONG: Final = {"connect_timeout_ms": SOON_MS}


def _unreached(name: str, scene: str, reason: str, **more: Any) -> Fault:
    return Fault(
        section=Section.REACH,
        name=name,
        scene=scene,
        harm=Harm.UNSENT,
        took=Took.NOTHING,
        reason=reason,
        is_constant=True,
        **more,
    )


UNREACHED: Final = (
    _unreached("nobody listens", "refused", "connect_refused"),
    _unreached(
        "the connection is neither made nor refused",
        "blackhole",
        "connect_timeout",
        after="socket_connect_timeout",
        requests="few",
        worker={"socket_connect_timeout_ms": SOON_MS},
    ),
    _unreached("its name does not resolve", "nameless", "resolve_failed"),
    _unreached(
        "all connections are busy, and `connection_acquire_timeout` is 0",
        "busy",
        "pool_exhausted",
        worker={"connection_pool_size": 1, "connection_acquire_timeout_ms": 0},
    ),
    _unreached(
        "all connections stay busy",
        "busy",
        "queue_timeout",
        after="connection_acquire_timeout",
        requests="few",
        worker={"connection_pool_size": 1, "connection_acquire_timeout_ms": SOON_MS},
    ),
    _unreached(
        "`busy_limit` requests are in progress", "busy", "busy_limit", worker={"busy_limit": 1}
    ),
)


# --- it goes away, or falls silent ----------------------------------------------------------------

_ACTS: Final[tuple[tuple[str, Step], ...]] = (("closes", cut), ("resets", reset))
#: (when, steps until then, harm, what it had read)
_EARLY: Final[tuple[tuple[str, Script, Harm, Took], ...]] = (
    ("behind its CPONG", [send(CPONG)], Harm.SENT, Took.NOTHING),
    ("behind the head of the request", [], Harm.SENT, Took.HEAD),
    ("behind all of the request", [read_body], Harm.SENT, Took.ALL),
    ("inside the headers", [read_body, send(headers(200)[:-2])], Harm.SENT, Took.ALL),
)
_BEGUN: Final[tuple[tuple[str, Script], ...]] = (
    ("behind the headers", []),
    ("inside the header of a chunk", [send(b"AB\x00")]),
    ("inside a chunk", [send(chunk(b"abcdef")[:-3])]),
    ("between two chunks", [send(chunk(b"abcdef") * 2)]),
    ("before END_RESPONSE", [send(chunk(b"abcdef"), FLUSH)]),
)
_ALL_THERE: Final[Script] = [
    read_body,
    send(headers(200, (b"Content-Length", b"6")), chunk(b"abcdef")),
    once_seen,
]


def _gone(act: Step, harm: Harm) -> str:
    how = "eof" if act is cut else "reset"
    return f"{how}_before_headers" if harm <= Harm.SENT else f"{how}_mid_body"


def leaving() -> Iterator[Fault]:
    """A container that closes or resets, at every place."""
    for verb, act in _ACTS:
        for is_constant in (False, True):
            twice = ", each time" * is_constant
            yield Fault(
                section=Section.GREET,
                name=f"{verb} the connection in place of a CPONG{twice}",
                steps=[act],
                at_cping=True,
                harm=Harm.UNSENT,
                took=Took.NOTHING,
                reason=_gone(act, Harm.UNSENT),
                is_constant=is_constant,
                requests="few" if is_constant else "every",
            )
            for place, steps, harm, took in _EARLY:
                yield Fault(
                    section=Section.LEAVE,
                    name=f"{verb} the connection {place}{twice}",
                    steps=[*steps, act],
                    at_cping=took is Took.NOTHING,
                    harm=harm,
                    took=took,
                    reason=_gone(act, harm),
                    is_constant=is_constant,
                    requests="few" if is_constant else "every",
                )
        for size, requests in (("", "20 kB"), ("large ", "4 MB")):
            yield Fault(
                section=Section.LEAVE,
                name=f"{verb} the connection behind a packet of a {size}body",
                steps=[swallow, ask(), act],
                harm=Harm.SENT,
                took=Took.PACKET,
                reason=_gone(act, Harm.SENT),
                requests=requests,
            )
        yield Fault(
            section=Section.LEAVE,
            name=f"{verb} the connection in one go with the headers",
            steps=[read_body, send(headers(200)), act],
            harm=Harm.HELD,
            reason=_gone(act, Harm.HELD),
        )
        for place, steps in _BEGUN:
            yield begun(f"{verb} the connection {place}", [*steps, act], _gone(act, Harm.BEGUN))
        yield Fault(
            section=Section.LEAVE,
            name=f"{verb} the connection before END_RESPONSE, all of Content-Length sent",
            steps=[*_ALL_THERE, act],
            harm=Harm.BEGUN,
            reason=_gone(act, Harm.BEGUN),
            is_complete=True,
        )


def begun(name: str, steps: Script, reason: str, **more: Any) -> Fault:
    """A fault behind the head of the answer; the client has that."""
    return Fault(
        name=name,
        steps=[read_body, begin, once_seen, *steps],
        harm=Harm.BEGUN,
        reason=reason,
        **{"section": Section.LEAVE, "requests": "few", **more},
    )


def silence() -> Iterator[Fault]:
    """A container that says nothing more, at every place."""
    late = {"reason": "reply_timeout", "after": "reply_timeout", "worker": _SILENT}
    for is_constant in (False, True):
        yield Fault(
            section=Section.GREET,
            name="sends no CPONG" + ", each time" * is_constant,
            steps=[never],
            at_cping=True,
            harm=Harm.UNSENT,
            took=Took.NOTHING,
            reason="cping_timeout",
            after="connect_timeout",
            is_constant=is_constant,
            requests="few",
            worker=_NO_PONG,
        )
    yield Fault(
        section=Section.LEAVE,
        name="reads nothing behind its CPONG",
        steps=[send(CPONG), stall],
        at_cping=True,
        harm=Harm.SENT,
        took=Took.NOTHING,
        requests="few",
        **late,  # type: ignore[arg-type]
    )
    for place, steps, harm, took in _EARLY[1:]:
        yield Fault(
            section=Section.LEAVE,
            name=f"says nothing {place}",
            steps=[*steps, never],
            harm=harm,
            took=took,
            requests="few",
            **late,  # type: ignore[arg-type]
        )
    yield Fault(
        section=Section.LEAVE,
        name="takes none of a large body and says nothing",
        steps=[never],
        harm=Harm.SENT,
        took=Took.HEAD,
        requests="4 MB",
        **late,  # type: ignore[arg-type]
    )
    for place, steps in _BEGUN:
        yield begun(
            f"says nothing {place}",
            [*steps, never],
            "reply_timeout",
            after="reply_timeout",
            worker=_SILENT,
            requests="three",
        )
    yield Fault(
        section=Section.LEAVE,
        name="sends no END_RESPONSE, all of Content-Length sent",
        steps=[*_ALL_THERE, never],
        harm=Harm.BEGUN,
        is_complete=True,
        requests="few",
        **late,  # type: ignore[arg-type]
    )
