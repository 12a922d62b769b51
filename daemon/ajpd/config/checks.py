"""What no single file can know: whether everything that is written fits together.

Rules and lists that name workers, workers that nothing reaches, hosts. Nothing is read here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from .errors import Findings, Place, suggest
from .hosts import names_twice
from .model import HostConfig, Mount, WorkerConfig
from .parts import Parts
from .sections import Section
from .urimap import UriMap, rules_of_worker

__all__ = [
    "check_hosts",
    "check_list",
    "check_members",
    "check_reach",
    "check_rules",
    "check_switched_off",
    "mount_rules",
]


def check_list(parts: Parts, findings: Findings, whole: Place) -> dict[str, Place]:
    """The listed workers that exist, in order."""
    listed: dict[str, Place] = {}
    for name, place in parts.listed:
        if name not in parts.sections:
            findings.error(
                place,
                f"worker {name!r} is listed, but defined nowhere",
                directive="worker.list",
                hint=suggest(name, parts.sections),
            )
        elif name in listed:
            findings.warn(place, f"worker {name!r} is listed twice", directive="worker.list")
        else:
            listed[name] = place
    if not listed and not findings.count:
        findings.error(whole, "there is no worker, neither in a workers file nor as [worker.NAME]")
    return listed


def check_members(
    parts: Parts, listed: Mapping[str, Place], findings: Findings
) -> dict[str, Section]:
    """The balancers in use by the names of their members, which are workers in use as well."""
    balancers: dict[str, Section] = {}
    for section in [parts.sections[name] for name in listed]:
        for name, _ in section.members():
            balancers.setdefault(name, section)
    for name, balancer in balancers.items():
        if name in listed and name not in parts.unlisted:
            findings.warn(
                listed[name],
                f"worker {name!r} is in worker.list and a member of balancer {balancer.name!r}: "
                "rules that name it pass by the balancer",
                directive="worker.list",
            )
        elif name not in listed and name in parts.sections:
            mount = parts.sections[name].entries.get("mount")
            if mount is not None:
                findings.warn(
                    mount.place,
                    f"'mount' only counts for workers in worker.list, and {name!r} is not",
                    directive="mount",
                )
    return balancers


def mount_rules(parts: Parts, listed: Mapping[str, Place], findings: Findings) -> list[Mount]:
    """Rules that the listed workers have themselves."""
    rules: list[Mount] = []
    for name in listed:
        entry = parts.sections[name].entries.get("mount")
        if entry is not None:
            rules += rules_of_worker(name, entry.tokens(), findings, encoding=entry.encoding)
    return rules


def check_rules(
    rules: Sequence[Mount],
    listed: Collection[str],
    findings: Findings,
    *,
    unlisted: Collection[str] = (),
) -> None:
    """Rules name workers, and none of them comes too late.

    Args:
        rules: all that count together.
        listed: names of workers that rules may name.
        findings: of the whole configuration.
        unlisted: names of those they may not.
    """
    for rule in rules:
        if rule.worker in listed or (rule.worker == "*" and rule.is_exclusion):
            continue
        if rule.worker in unlisted:
            message = f"the rule {rule} names a worker that is not in worker.list"
            hint = ""
        else:
            message = f"the rule {rule} names an unknown worker"
            hint = suggest(rule.worker, listed)
        findings.error(rule.place, message, directive=str(rule), hint=hint)
    for winner, rule in UriMap(rules).shadowed():
        if winner.worker != rule.worker:
            findings.warn(
                rule.place, f"the rule {rule} never counts: {winner} at {winner.place} comes first"
            )


def check_hosts(hosts: Iterable[HostConfig], findings: Findings) -> None:
    """No name belongs to two hosts, and each host has rules."""
    for name, (first, other) in names_twice(hosts).items():
        message = f"host: {name!r} is a name of [host.{first.name!r}] too, at {first.place}"
        findings.error(other.place, message, directive=other.name)
    for host in hosts:
        if not host.rules and not host.mount_copy:
            message = f"host {host.name!r} has no rules, so all its requests are answered 404"
            findings.warn(host.place, message, directive=host.name)


def check_switched_off(
    rules: Iterable[Mount],
    sections: Mapping[str, Section],
    workers: Mapping[str, WorkerConfig],
    findings: Findings,
) -> None:
    """Port 0 is for members; a rule must not lead to one."""
    for rule in rules:
        worker = None if rule.is_exclusion or rule.is_disabled else workers.get(rule.worker)
        if worker is None or worker.port or worker.unix_path is not None:
            continue
        message = f"the rule {rule} leads to worker {rule.worker!r}, which is switched off"
        say = findings.warn if sections[rule.worker].is_lenient else findings.error
        say(rule.place, message, directive=str(rule))


def check_reach(
    parts: Parts,
    rules: Iterable[Mount],
    listed: Mapping[str, Place],
    members: Mapping[str, Section],
    findings: Findings,
    *,
    whole: Place,
) -> None:
    """Warn of workers that no rule leads to."""
    mounts = [rule for rule in rules if not rule.is_exclusion and not rule.is_disabled]
    if not mounts and not findings.count:
        findings.warn(whole, "no rule maps anything, so every request will be answered 404")
        return
    mapped = {rule.worker for rule in mounts}
    for name in listed:
        if name not in mapped and name not in members:
            findings.warn(parts.sections[name].place, f"no rule leads to worker {name!r}")
