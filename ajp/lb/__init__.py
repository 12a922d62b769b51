"""The balancer: which member gets a request, and what its answers say about the member.

Policy only: no I/O, no clock, no chance of its own. Time and random numbers come in.
"""

from ._store import MemoryStore, Record, Store
from .balancer import Balancer, Chance
from .choice import Choice, How, NoMember, Verdict
from .member import Activation, Event, Member, Outcome, Probing, State
from .rounds import Pause, Rounds
from .session import Session, find_session
from .settings import Extension, Method, Settings, activations
from .upkeep import Change

__all__ = [
    "Activation",
    "Balancer",
    "Chance",
    "Change",
    "Choice",
    "Event",
    "Extension",
    "How",
    "Member",
    "MemoryStore",
    "Method",
    "NoMember",
    "Outcome",
    "Pause",
    "Probing",
    "Record",
    "Rounds",
    "Session",
    "Settings",
    "State",
    "Store",
    "Verdict",
    "activations",
    "find_session",
]
