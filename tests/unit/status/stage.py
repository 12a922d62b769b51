"""A status table as a running daemon has it, and the configuration that belongs to it."""

import os
from pathlib import Path

from ajp._column import Column
from ajp._slot import Slot
from ajp.table import Table
from ajpd.config.load import load_files
from ajpd.config.model import Config
from ajpd.ledger import Ledger

WORKERS = """\
worker.list=lb,other,alone
worker.lb.type=lb
worker.lb.balance_workers=nodeA,nodeB
worker.lb.recover_time=40
worker.other.type=lb
worker.other.balance_workers=nodeB
worker.nodeA.port=8109
worker.nodeA.lbfactor=2
worker.nodeA.route=a.one
worker.nodeB.port=8209
worker.nodeB.redirect=a.one
worker.nodeB.distance=1
worker.nodeB.secret=top
worker.alone.port=8309
worker.alone.reply_timeout=5000
"""


def configuration(folder: Path, workers: str = WORKERS) -> Config:
    path = folder / "workers.properties"
    path.write_text(workers, encoding="utf-8")
    return load_files(str(path), None, ["127.0.0.1:0"])


class Daemon:
    """What a daemon's processes do to a table, without the daemon.

    Attributes:
        config: what it runs.
        table: opened for writing.
        column: of its one process, which is this one.
    """

    def __init__(self, folder: Path, workers: str = WORKERS) -> None:
        folder.chmod(0o700)
        self.folder = folder
        self.path = folder / "ajpd.shm"
        self.config = configuration(folder, workers)
        self.table = Table.create(self.path, slots=32, columns=4)
        self.slots: dict[str, Slot] = {}
        self.column = self.serve(self.config)

    def serve(self, config: Config) -> Column:
        """Take the slots of a configuration, and a column, as a new generation does."""
        self.config = config
        self.table.begin_generation()
        ledger = Ledger.enter(self.table, config)
        ledger.settle(config)
        self.slots |= {**ledger.workers, **ledger.balancers, "front": ledger.front}
        for balancer, members in ledger.members.items():
            self.slots |= {f"{balancer}/{slot.name}": slot for slot in members}
        return self.table.claim_process(os.getpid())
