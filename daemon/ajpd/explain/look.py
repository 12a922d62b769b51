"""A question, taken through the code that serves, and what is found on the way.

Two processes are made and not started: the request goes through one, as far as the question for a
connection; the other is as the first one was before, and tells what the election saw. With the
table of a running daemon both have copies of it, so nothing changes for anybody.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

from ajp._slot import Slot
from ajp._table import Memory
from ajp.lb import Activation
from ajp.table import private_copy
from ajpd._rehearsal import Rehearsal
from ajpd.config.model import Config
from ajpd.ledger import Ledger
from ajpd.process import Process

from .course import Course, answer_of, forwarded_of, members_of, session_of, worker_of
from .explanation import Explanation
from .question import Question
from .rules import host_of, path_of, rules_of_request

__all__ = ["explain"]

#: Whom the request is from, where nobody says.
CLIENT = "127.0.0.1"


def explain(
    config: Config, question: Question, *, table: Memory | None = None, client: str = CLIENT
) -> Explanation:
    """Say what becomes of a request.

    Args:
        config: that the daemon runs, or would.
        question: the request.
        table: of the running daemon; None: as at a start, nothing counted, all members well.
        client: address it comes from.
    """
    return asyncio.run(_explain(config, question, table, client))


async def _explain(
    config: Config, question: Question, table: Memory | None, client: str
) -> Explanation:
    remarks = [*question.remarks]
    if config.hosts and not question.is_named:
        name = question.host.decode()
        remarks.append(f"no name was said: {name} is asked for; write the whole URL for another")
    if config.tls is not None:
        # Its keys may not be ours to read, and nobody is there to show a certificate.
        remarks.append("a client's certificate, and what follows from one, is not looked at")
        config = replace(config, tls=None)
    table = None if table is None else private_copy(table)
    async with _process(config, table) as process, _process(config, table) as before:
        if table is not None:
            remarks += _strangers(process.ledger, table)
        rehearsal = Rehearsal(process.service, remote_addr=client.encode(), is_ssl=question.is_ssl)
        rehearsal.begin(question.head)
        course = Course(config, question, rehearsal, process, before)
        host, path = host_of(config, rehearsal), path_of(config, question)
        rules = () if path is None else rules_of_request(config, host.section, rehearsal.host, path)
        return Explanation(
            request=f"{question.method} {question.url}",
            is_live=table is not None,
            host=host,
            path=None if path is None else path.decode("utf-8", "backslashreplace"),
            rules=rules,
            worker=worker_of(course),
            session=session_of(course),
            members=members_of(course, time.monotonic()),
            member=None if rehearsal.choice is None else rehearsal.choice.name,
            forwarded=forwarded_of(course),
            answer=answer_of(course, rules),
            remarks=(*remarks, *course.remarks),
        )


@asynccontextmanager
async def _process(config: Config, table: Memory | None) -> AsyncIterator[Process]:
    """A process that serves nobody."""
    ledger = None
    if table is not None:
        ledger = Ledger.enter(private_copy(table), config)
        for slot, activation in _members(ledger, config):
            if slot.index not in table.taken():
                slot.settle(activation)
    process = Process(config, (), ledger=ledger)
    try:
        yield process
    finally:
        await process.stop()


def _members(ledger: Ledger, config: Config) -> Iterator[tuple[Slot, Activation]]:
    """Slots of all members, and the activations that the files have for them."""
    for name, balancer in config.balancers.items():
        for slot, member in zip(ledger.members[name], balancer.members, strict=True):
            yield slot, member.activation


def _strangers(ledger: Ledger, table: Memory) -> list[str]:
    """What the files have and the running daemon has not."""
    known = set(table.taken())
    slots = [*ledger.workers.values(), *ledger.balancers.values()]
    slots += [slot for members in ledger.members.values() for slot in members]
    unknown = [slot for slot in slots if slot.index not in known]
    names = ", ".join(f"{s.balancer}/{s.name}" if s.balancer else s.name for s in unknown)
    if not names:
        return []
    return [f"the running daemon has no {names}: as at a start; ajpd reload brings them in"]
