"""The status table as the daemon uses it: where its file is, how big, and what of it is whose.

The master opens the table and enters a configuration; a process claims a column and finds the same
slots again. Without a master there is one process, and its table is memory of its own.

Source: mod_jk `jk_shm.c` `jk_shm_calculate_size`: as many slots as workers, members and balancers.
Differs: room to spare, so that a reload finds some.
"""

import hashlib
import logging
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from ajp._column import Column
from ajp._slot import Slot
from ajp._table import Memory
from ajp.errors import LayoutMismatch, StatusTableError, TableFull
from ajp.journal import Journal
from ajp.lb._tablestore import TableStore
from ajp.snapshot import Kind
from ajp.table import Table, private_memory

from .config.model import BalancerConfig, Config, WorkerConfig
from .naming import digest_of

__all__ = [
    "FRONT",
    "Ledger",
    "default_table",
    "describe",
    "journal_of",
    "open_table",
    "replay",
    "slot_address",
]

logger = logging.getLogger("ajpd.table")

#: Name of the slot in which everything is counted that a client asked for.
FRONT: Final = "front"

# Of two generations with room for one more of each, and for those that drain after many reloads.
_LEAST_COLUMNS: Final = 32
_MOST_COLUMNS: Final = 256
_LEAST_SLOTS: Final = 16
_LONGEST_ADDRESS: Final = 127


def default_table(files: Sequence[str], *, user: str = "") -> Path:
    """Where the table of these configuration files is when nobody says; its directory is made.

    Args:
        files: paths that a configuration is known by.
        user: that root is going to become; empty for none.

    Raises:
        OSError: the directory cannot be made.
    """
    return _directory(user) / f"{digest_of(files)[:16]}.shm"


def _directory(user: str) -> Path:
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    uid = os.geteuid()
    if uid == 0:
        folder = Path(f"/run/ajpd-{user}" if user else "/run/ajpd")
    elif session := os.environ.get("XDG_RUNTIME_DIR"):
        folder = Path(session, "ajpd")
    else:
        folder = Path(f"/dev/shm/ajpd-{uid}")
    # Whose it is decides who may have a table there; `Table` looks.
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True)
        if uid == 0 and user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    return folder


def _slots_of(config: Config) -> int:
    members = sum(len(balancer.members) for balancer in config.balancers.values())
    return 1 + len(config.containers) + members + len(config.balancers)


def open_table(config: Config, path: Path) -> Table:
    """Open the table of a daemon that starts, or make it.

    Raises:
        StatusTableError: it cannot be used; the message says why and what to do.
    """
    processes = config.server.processes
    owner = None
    if config.server.user and os.geteuid() == 0:
        owner = pwd.getpwnam(config.server.user).pw_uid
    return Table.open(
        path,
        slots=max(2 * _slots_of(config), _LEAST_SLOTS),
        columns=min(max(4 * processes + 8, _LEAST_COLUMNS), _MOST_COLUMNS),
        owner=owner,
    )


def journal_of(config: Config, table: Table) -> Journal | None:
    """Where changes are written down; None where the configuration wants no journal.

    Raises:
        StatusTableError: the table's file is gone.
    """
    if not config.table.journal:
        return None
    try:
        owner = table.path.stat().st_uid
    except OSError as exc:
        raise StatusTableError(f"{table.path}: {exc.strerror}") from exc
    return Journal(config.table.journal, owner=owner)


def replay(config: Config, table: Table) -> None:
    """Let the table know what its journal has and it has not, and the journal likewise.

    Raises:
        StatusTableError: the journal cannot be used.
    """
    journal = journal_of(config, table)
    if journal is None:
        return
    found = journal.replay(table)
    for entry in found.applied:
        logger.info("journal: %s: %s", entry, entry.in_words())
    for entry, why in found.refused:
        logger.warning("journal: %s is left out: %s", entry, why)
    for entry in found.unknown:
        logger.info("journal: %s is about nobody in this configuration", entry)
    for entry in found.noted:
        logger.info("journal: %s was not in it yet: %s", entry, entry.in_words())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Everything of a configuration that has a place in the table.

    Attributes:
        memory: the table.
        column: of this process; None for who only looks.
        front: all requests of clients.
        workers: containers by the names of their workers.
        balancers: by name.
        members: of each balancer, in their order.
    """

    memory: Memory
    column: Column | None
    front: Slot
    workers: Mapping[str, Slot] = field(default_factory=dict)
    balancers: Mapping[str, Slot] = field(default_factory=dict)
    members: Mapping[str, tuple[Slot, ...]] = field(default_factory=dict)

    @classmethod
    def enter(cls, memory: Memory, config: Config, *, column: Column | None = None) -> Self:
        """Find the slots of a configuration; those that are not there are taken.

        Raises:
            TableFull: it has more workers and members than there is room for.
            StatusTableError: the control lock cannot be had.
        """
        with memory.guard:
            return cls(
                memory=memory,
                column=column,
                front=Slot.take(memory, Kind.FRONT, FRONT),
                workers={
                    name: Slot.take(memory, Kind.WORKER, name, address=slot_address(worker))
                    for name, worker in config.containers.items()
                },
                balancers={
                    name: Slot.take(memory, Kind.BALANCER, name) for name in config.balancers
                },
                members={
                    name: tuple(_members(memory, balancer))
                    for name, balancer in config.balancers.items()
                },
            )

    @classmethod
    def alone(cls, config: Config) -> Self:
        """A ledger of this process alone, in memory that nobody else sees."""
        memory = private_memory(slots=_slots_of(config), columns=1)
        column = Column(memory, memory.claim(pid=os.getpid(), started=0))
        ledger = cls.enter(memory, config, column=column)
        ledger.settle(config)
        return ledger

    def settle(self, config: Config) -> None:
        """Give members the activation of the configuration, unless an operator gave another."""
        for name, balancer in config.balancers.items():
            for slot, member in zip(self.members[name], balancer.members, strict=True):
                slot.settle(member.activation)

    def store(self, balancer: str) -> TableStore:
        """Where a balancer counts."""
        return TableStore(self.balancers[balancer], self.members[balancer], self.column)


def _members(memory: Memory, balancer: BalancerConfig) -> list[Slot]:
    return [
        Slot.take(
            memory,
            Kind.MEMBER,
            member.name,
            balancer=balancer.name,
            address=slot_address(member.worker),
        )
        for member in balancer.members
    ]


def slot_address(worker: WorkerConfig) -> str:
    """A container's address as the table has it: a very long one is cut, and told by its hash."""
    address = worker.address
    if len(address.encode()) <= _LONGEST_ADDRESS:
        return address
    return f"{address[:60]}#{hashlib.sha256(address.encode()).hexdigest()[:32]}"


def describe(exc: StatusTableError, path: Path) -> str:
    """What went wrong with the table, and what can be done."""
    hint = ""
    if isinstance(exc, TableFull):
        hint = "; stop ajpd and start it again to have a larger one"
    elif isinstance(exc, LayoutMismatch):
        hint = f"; if no ajpd of that version runs, remove {path}"
    return f"table: {exc}{hint}"
