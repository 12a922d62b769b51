"""What an operator does to the running daemon: the one set of functions for all who offer it.

Everything goes through the status table, under its lock; each process sees that something moved and
takes it (`ajpd.live`). So nobody has to be asked, and nothing is done twice. Who did it is told to
the log. Reading arguments and showing results must not be added.

Source: mod_jk `jk_status.c` `commit_member`, `reset_worker`, `recover_worker`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ajp._slot import Slot
from ajp._table import Memory
from ajp.errors import AJPError, StatusTableError
from ajp.lb import Activation, Balancer, Member, Method, Settings, State
from ajp.lb._tablestore import TableStore
from ajp.snapshot import FIELDS, Kind
from ajpd.config.changes import Setting, changed, check, decode, encode, settings_of, shown
from ajpd.config.model import BalancerConfig, Config, MemberConfig, WorkerConfig
from ajpd.config.values import BadValue

from .collect import current_slots

__all__ = ["ActionError", "Deed", "Operator", "is_like", "title"]

_WILD: Final = re.compile(r"[*?]")
_KINDS: Final = {Kind.WORKER: "worker", Kind.MEMBER: "member", Kind.BALANCER: "balancer"}


class ActionError(AJPError):
    """It cannot be done; the message says why, and what there is instead."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that was done, or that was not.

    Attributes:
        what: whom it is about: a name, or `balancer/member`.
        text: what happened.
        done: something changed.
    """

    what: str
    text: str
    done: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {self.text}"


def title(slot: Slot) -> str:
    """How a slot is called: a name, or `balancer/member`."""
    return f"{slot.balancer}/{slot.name}" if slot.balancer else slot.name


class Operator:
    """Changes what the daemon does while it runs.

    Args:
        table: opened for writing.
        config: what the daemon runs, as far as known. Without one, values are checked as far as
            that goes, and members in `recover` count as of the method Request.
        tell: gets a line for each thing that was done; it goes into the log, with who did it.
        configure: makes a change of a slot's settings; for who writes it down as well.

    Raises:
        StatusTableError: the table was opened for reading only.
    """

    def __init__(
        self,
        table: Memory,
        config: Config | None = None,
        *,
        tell: Callable[[str], None] = lambda line: None,
        configure: Callable[[Slot, Mapping[str, int | str | None]], object] | None = None,
    ) -> None:
        if not table.is_writable:
            raise StatusTableError("the table was opened for reading only")
        self._table = table
        self._config = config
        self._tell = tell
        self._configure = configure or _configure

    # --- finding ----------------------------------------------------------------------------------

    def members(self, *names: str) -> list[Slot]:
        """Members by name.

        Args:
            names: `balancer/member`, or `member` for all balancers that have it; `*` and `?` stand
                for any letters and any one.

        Raises:
            ActionError: one of the names is that of nobody.
        """
        return self._found(Kind.MEMBER, names)

    def balancers(self, *names: str) -> list[Slot]:
        """Balancers by name; see `members`."""
        return self._found(Kind.BALANCER, names)

    def workers(self, *names: str) -> list[Slot]:
        """Containers by the names of their workers; see `members`."""
        return self._found(Kind.WORKER, names)

    def slots(self, *names: str) -> list[Slot]:
        """Members, balancers and containers by name; see `members`.

        Raises:
            ActionError: one of the names is that of nobody.
        """
        there = [slot for slot in current_slots(self._table) if slot.kind in _KINDS]
        found: dict[int, Slot] = {}
        for name in names:
            matching = [slot for slot in there if _is_called(slot, name)]
            if not matching:
                raise ActionError(_nobody("member, balancer or worker", name, there))
            found |= {slot.index: slot for slot in matching}
        return [*found.values()]

    def _found(self, kind: Kind, names: Sequence[str]) -> list[Slot]:
        there = [slot for slot in current_slots(self._table) if slot.kind is kind]
        found: dict[int, Slot] = {}
        for name in names:
            matching = [slot for slot in there if _is_called(slot, name)]
            if not matching:
                raise ActionError(_nobody(_KINDS[kind], name, there))
            found |= {slot.index: slot for slot in matching}
        return [*found.values()]

    # --- doing ------------------------------------------------------------------------------------

    def set_activation(self, members: Iterable[Slot], activation: Activation) -> list[Deed]:
        """Say what is wanted of members.

        Source:
            mod_jk: the sums of all members of the balancer begin anew.
        """
        deeds = []
        with self._table.guard:
            for slot in members:
                before = Activation(slot.activation)
                word = activation.name.lower()
                if before is activation and slot.config().get("activation") == activation:
                    deeds.append(Deed(title(slot), f"is {word} already", done=False))
                    continue
                balancer, number = self._balancer_of(slot)
                balancer.set_activation(number, activation)
                try:
                    self._configure(slot, {"activation": int(activation)})
                except BaseException:
                    balancer.set_activation(number, before)
                    raise
                text = f"is {word}" if before is activation else f"{before.name.lower()} -> {word}"
                deeds.append(Deed(title(slot), text))
        return self._done(deeds)

    def configure(self, slot: Slot, changes: Mapping[str, Setting]) -> list[Deed]:
        """Change settings, all of them or none.

        Args:
            slot: of whom.
            changes: by the names of `ajp.snapshot.FIELDS`; values as the model has them. None goes
                back to what the files say.

        Raises:
            ActionError: one cannot be changed, or not to that.
        """
        values = self._checked(slot.kind, changes)
        activation = values.pop("activation", None) if slot.kind is Kind.MEMBER else None
        with self._table.guard:
            self._try(slot, values)
            before = slot.config()
            kept = {name: encode(name, value) for name, value in values.items()}
            if "activation" in changes and activation is None:
                kept["activation"] = None
            if kept:
                self._configure(slot, kept)
                self._settle(slot, kept)
            deeds = [
                Deed(title(slot), f"{name} {_shown(name, before.get(name))} -> {_shown(name, new)}")
                for name, new in kept.items()
                if before.get(name) != new
            ]
            self._done(deeds)
            if activation is not None:
                deeds += self.set_activation([slot], Activation(int(activation)))
        return deeds

    def forget(self, slots: Iterable[Slot]) -> list[Deed]:
        """Let what the files say count again, for everything that was changed while we ran."""
        deeds = []
        for slot in slots:
            names = slot.config()
            if names:
                deeds += self.configure(slot, dict.fromkeys(names))
            else:
                deeds.append(Deed(title(slot), "nothing was changed", done=False))
        return deeds

    def recover(self, members: Iterable[Slot]) -> list[Deed]:
        """Have failed members tried again now."""
        deeds = []
        with self._table.guard:
            for slot in members:
                balancer, number = self._balancer_of(slot)
                state = State(balancer.records[number].state)
                if balancer.recover(number):
                    deeds.append(Deed(title(slot), "is tried again with the next request"))
                else:
                    text = f"is {state.label}: only a member in {State.ERROR.label} can be"
                    deeds.append(Deed(title(slot), text, done=False))
        return self._done(deeds)

    def reset(self, slots: Iterable[Slot]) -> list[Deed]:
        """Begin all counts anew; a balancer's reset is that of its members too.

        Source:
            mod_jk `jk_status.c` `reset_worker`: a member is idle then, whatever it was, and the
            counts of its container are those of every balancer that has it.
        """
        deeds = []
        with self._table.guard:
            for slot in self._with_members(slots):
                if slot.kind is Kind.MEMBER:
                    balancer, number = self._balancer_of(slot)
                    balancer.reset(number)
                    for worker in self._workers_of(slot):
                        worker.reset()
                slot.reset()
                deeds.append(Deed(title(slot), "counts begin anew"))
        return self._done(deeds)

    # --- how --------------------------------------------------------------------------------------

    def _done(self, deeds: list[Deed]) -> list[Deed]:
        for deed in deeds:
            if deed.done:
                self._tell(str(deed))
        return deeds

    def _checked(self, kind: Kind, changes: Mapping[str, Setting]) -> dict[str, Setting]:
        values: dict[str, Setting] = {}
        for name, value in changes.items():
            if name not in FIELDS[kind]:
                there = ", ".join(sorted(FIELDS[kind]))
                what = _KINDS.get(kind, kind.name.lower())
                raise ActionError(f"{name} of a {what} cannot be changed; what can: {there}")
            try:
                values[name] = None if value is None else check(kind, name, value)
            except (BadValue, ValueError) as exc:
                raise ActionError(str(exc)) from exc
        return values

    def _try(self, slot: Slot, values: dict[str, Setting]) -> None:
        """See whether processes will take it: they build a balancer of it too."""
        if slot.kind is not Kind.MEMBER:
            return
        config = self._configured(slot)
        if isinstance(config, MemberConfig):
            _follow_route(changed(config, slot.config()), values)
        siblings = self._siblings(slot)
        members = [
            self._member(each, values if each.index == slot.index else {}) for each in siblings
        ]
        try:
            Balancer(members)
        except ValueError as exc:
            raise ActionError(f"{title(slot)}: {exc}") from exc

    def _settle(self, slot: Slot, kept: Mapping[str, int | str | None]) -> None:
        """An activation that was taken back is that of the files again."""
        config = self._configured(slot)
        if kept.get("activation", 0) is None and isinstance(config, MemberConfig):
            balancer, number = self._balancer_of(slot)
            balancer.set_activation(number, config.activation)

    def _configured(self, slot: Slot) -> WorkerConfig | MemberConfig | BalancerConfig | None:
        """What the files say of a slot; None when they are not at hand or say nothing."""
        if self._config is None:
            return None
        if slot.kind is Kind.BALANCER:
            return self._config.balancers.get(slot.name)
        if slot.kind is Kind.MEMBER:
            balancer = self._config.balancers.get(slot.balancer)
            members = () if balancer is None else balancer.members
            return next((member for member in members if member.name == slot.name), None)
        return None

    def _siblings(self, slot: Slot) -> list[Slot]:
        """All members of a member's balancer, as they are found in the table."""
        there = [
            each
            for each in current_slots(self._table)
            if each.kind is Kind.MEMBER and each.balancer == slot.balancer
        ]
        # During a reload there may be two of one name; the given one counts.
        return [each for each in there if each.name != slot.name or each.index == slot.index]

    def _balancer_of(self, slot: Slot) -> tuple[Balancer, int]:
        """A balancer that counts where the processes' own do; and the number of a member in it."""
        siblings = self._siblings(slot)
        balancer = next(
            each
            for each in current_slots(self._table)
            if each.kind is Kind.BALANCER and each.name == slot.balancer
        )
        config = self._configured(balancer)
        live = {name: decode(name, kept) for name, kept in balancer.config().items()}
        method = live.get("method")
        if not isinstance(method, Method):
            method = config.method if isinstance(config, BalancerConfig) else Method.REQUEST
        made = Balancer(
            [Member(name=f"{number}") for number in range(len(siblings))],
            # Nobody is elected here: what matters is whether values are sums.
            Settings(method=Method.REQUEST if method.accumulates else Method.BUSYNESS),
            store=TableStore(balancer, siblings),
        )
        return made, [each.index for each in siblings].index(slot.index)

    def _member(self, slot: Slot, values: Mapping[str, Setting]) -> Member:
        """A member as it is, or would be with other values."""
        config = self._configured(slot)
        before: dict[str, Setting] = {}
        if isinstance(config, MemberConfig):
            before = settings_of(config)
        live = {name: decode(name, kept) for name, kept in slot.config().items()}
        new = {name: value for name, value in values.items() if value is not None}
        back = {name for name, value in values.items() if value is None}
        now = before | {name: value for name, value in live.items() if name not in back} | new
        route = now.get("route")
        return Member(name=slot.name, route=route if isinstance(route, str) else "")

    def _with_members(self, slots: Iterable[Slot]) -> list[Slot]:
        found: dict[int, Slot] = {}
        for slot in slots:
            found[slot.index] = slot
            if slot.kind is Kind.BALANCER:
                for each in current_slots(self._table):
                    if each.kind is Kind.MEMBER and each.balancer == slot.name:
                        found[each.index] = each
        return [*found.values()]

    def _workers_of(self, member: Slot) -> list[Slot]:
        return [
            slot
            for slot in current_slots(self._table)
            if (slot.kind, slot.name, slot.address) == (Kind.WORKER, member.name, member.address)
        ]


def _configure(slot: Slot, changes: Mapping[str, int | str | None]) -> None:
    slot.configure(**changes)


def _follow_route(config: MemberConfig, values: dict[str, Setting]) -> None:
    """A new route brings its domain with it, where there is none.

    Source:
        mod_jk `jk_status.c` `commit_member`.
    """
    route = values.get("route")
    if isinstance(route, str) and "domain" not in values and not config.domain:
        before, dot, _ = route.partition(".")
        if dot:
            values["domain"] = before


def _is_called(slot: Slot, name: str) -> bool:
    whole = title(slot) if "/" in name else slot.name
    return is_like(whole, name) if _WILD.search(name) else whole == name


def is_like(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern in which `*` is any letters and `?` any one."""
    regex = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(regex, name) is not None


def _nobody(what: str, name: str, there: Sequence[Slot]) -> str:
    names = sorted({title(slot) if "/" in name else slot.name for slot in there})
    if not names:
        return f"no {what} {name}: there is none at all"
    all_of_them = "there are" if " " in what else f"{what}s"
    return f"no {what} {name}; {all_of_them}: {', '.join(names)}"


def _shown(name: str, kept: int | str | None) -> str:
    """A value as words; what the files say when nothing was changed."""
    if kept is None:
        return "as in the files"
    return shown(decode(name, kept))
