"""Random workers.properties, given to a real mod_jk and to us: every value must be equal."""

import random
from pathlib import Path

import pytest

from ajpd.config import load_files

from .modjk import ask_mod_jk
from .test_parity import compare

#: Without blanks before k, which versions of mod_jk read in different ways.
NUMBERS = ["0", "1", "5", "60", "007", "+3", "2k", "1K", "7x", "15s", "3.5", "-1", "-60"]
BOOLS = ["1", "0", "on", "off", "True", "FALSE", "y", "n", "yes", "no", "t", "F", "Yeah", "never"]
SIZES = ["0", "1", "8192", "8193", "9000", "16k", "65536", "65537", "1m", "-5"]

AJP = {
    "port": ["8009", "8109", "80x9", "65535"],
    # Negative ones are shown as they are by mod_jk, and mean 0.
    "connection_pool_timeout": NUMBERS[:-2],
    "cache_timeout": NUMBERS[:-2],
    "connection_ping_interval": ["0", "1", "15", "20x"],
    "ping_timeout": ["0", "1", "500", "10000", "2k"],
    "ping_mode": ["A", "C", "P", "I", "cp", "CPI", "i,c", "Ax", "none or All"],
    "connect_timeout": ["0", "1", "2500", "3k"],
    "prepost_timeout": ["0", "1", "2500", "3k"],
    "reply_timeout": NUMBERS[:-2],
    "retries": NUMBERS,
    "recovery_options": ["0", "3", "7", "16", "31"],
    "busy_limit": NUMBERS[:-2],
    "max_packet_size": SIZES,
    "source": ["127.0.0.1"],
    "socket_timeout": NUMBERS,
    "socket_keepalive": BOOLS,
    "socket_buffer": SIZES,
    "lbfactor": NUMBERS,
    # Repeated ones are joined, and versions differ in what a k behind the second one means.
    "distance": ["0", "1", "5", "60", "007", "+3", "7x"],
    "route": ["r{}", "x.r{}", "d.e.r{}"],
    "domain": ["d1", "d2"],
    "redirect": ["r1", "nobody"],
    "activation": ["a", "Disabled", "STOP", "0", "1", "2", "Delayed"],
    "disabled": BOOLS,
    "stopped": BOOLS,
    "fail_on_status": ["500", "500,503 404", "-500", "0", "5x 600"],
}
LB = {
    "sticky_session": BOOLS,
    "sticky_session_force": BOOLS,
    "method": ["R", "traffic", "B", "s", "Next", "0", "1", "2", "3", "4", "Busy"],
    "lock": ["O", "p", "0", "1", "Pessimistic"],
    "retries": NUMBERS,
    "lb_retries": NUMBERS,
    "recover_time": NUMBERS,
    "error_escalation_time": ["0", "1", "15", "30x"],
    "max_reply_timeouts": NUMBERS[:-2],
    "session_cookie": ["SID"],
    "session_path": [";sid"],
    "set_session_cookie": BOOLS,
}


def lines_of(chance: random.Random, name: str, table: dict[str, list[str]], most: int) -> list[str]:
    """Some directives of a worker, some of them twice."""
    lines = []
    for directive in chance.choices(list(table), k=chance.randrange(most)):
        value = chance.choice(table[directive]).format(name)
        blank = chance.choice(["", " ", "\t"])
        lines.append(f"{blank}worker.{name}.{directive}{blank}={blank}{value}{blank}")
    return lines


def properties(seed: int) -> str:
    chance = random.Random(seed)
    members = ["m1", "m2", "m3"]
    lines = ["worker.list=lb, alone", "worker.lb.type=lb", "my.time=5", "my.list=m1"]
    lines += lines_of(chance, "lb", LB, 8)
    lines += [f"worker.lb.balance_workers={name}" for name in members]
    lines += lines_of(chance, "t", {k: v for k, v in AJP.items() if k != "route"}, 6)
    for name in (*members, "alone"):
        table = AJP if name != "alone" else {k: v for k, v in AJP.items() if k != "port"}
        lines += [f"worker.{name}.host=127.0.0.1", *lines_of(chance, name, table, 14)]
        if chance.random() < 0.5:
            lines.append(f"worker.{name}.reference=worker.t")
        if chance.random() < 0.3:
            lines.append(f"worker.{name}.prepost_timeout=$(my.time)00")
    lines.append("worker.t.type=ajp13")
    return "\r\n".join(lines) if chance.random() < 0.3 else "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(20))
def test_any_values(folder: Path, seed: int) -> None:
    text = properties(seed)
    answer = ask_mod_jk(folder, text.encode())
    config = load_files(folder / "workers.properties", env={})
    assert compare(answer, config) == [], text
    assert answer.listed == {"lb", "alone"}
