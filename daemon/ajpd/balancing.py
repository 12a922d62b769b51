"""The balancers of one process: made from the configuration, maintained, and what they see logged.

Who gets a request is decided in `ajp.lb`, when one may move on in `ajp.retry`; here is only what a
process has to do for them.
"""

import logging
from collections.abc import Mapping
from random import Random

from ajp.lb.balancer import Balancer
from ajp.lb.member import State

from ._placement import Group
from ._service import Target
from .config.model import BalancerConfig
from .ledger import Ledger

__all__ = ["MAINTAIN_EVERY", "log_changes", "maintain", "make_group"]

logger = logging.getLogger("ajpd.lb")

#: Seconds between two looks whether a balancer is to be maintained.
MAINTAIN_EVERY = 1.0

_USABLE = frozenset((State.IDLE, State.OK, State.BUSY))


def make_group(config: BalancerConfig, targets: Mapping[str, Target], ledger: Ledger) -> Group:
    """Make a balancer.

    Args:
        config: of the balancer.
        targets: of the workers of its members, by name.
        ledger: where it counts.
    """
    balancer = Balancer(
        [member.member for member in config.members],
        config.settings,
        store=ledger.store(config.name),
        random=Random(),
    )
    return Group(
        config.name,
        balancer,
        [targets[member.worker.name] for member in config.members],
        slot=ledger.balancers[config.name],
        slots=ledger.members[config.name],
        column=ledger.column,
    )


def maintain(group: Group, now: float) -> None:
    """Do what time brings, and log what it and the requests since changed."""
    group.balancer.maintain(now)
    log_changes(group)


def log_changes(group: Group) -> None:
    """Log members that failed or came back since this was last called."""
    for change in group.balancer.take_changes():
        name = group.balancer.members[change.member].name
        if change.after is State.ERROR:
            level = logging.WARNING
        elif change.before not in _USABLE and change.after in _USABLE:
            level = logging.INFO
        else:
            level = logging.DEBUG
        logger.log(
            level,
            "balancer=%s member=%s %s -> %s event=%s",
            group.name,
            name,
            change.before.label,
            change.after.label,
            change.event.name.lower(),
        )
