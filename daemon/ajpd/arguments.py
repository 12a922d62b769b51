"""Arguments of explain and the commands for a running daemon; what they do is in `commands.py`."""

import argparse
import re
from collections.abc import Callable
from typing import Final

__all__ = ["add_explain", "add_operations"]

Files = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|min|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, None: 1.0}

_MEMBERS: Final = (
    "balancer/member, or a member's name for all balancers that have it; * and ? stand for any "
    "letters and any one"
)
_LEAST_INTERVAL_S: Final = 0.5
_MOST_INTERVAL_S: Final = 3600.0
_WHO: Final = "The daemon is found by its files, or by its table alone."

#: Name, one line for the overview, what it does, and whether it is about members alone.
_ABOUT: Final = {
    "status": (
        "show balancers, members and containers",
        f"Show what is known of the running daemon: what is on its way, how members are, how long "
        f"requests took since the last reset. {_WHO}",
    ),
    "top": (
        "watch balancers, members and containers, with keys to drain and the like",
        "Watch what the running daemon does, in the whole terminal. Keys: arrows, "
        "d drain, s stop, a activate, r recover, x reset, q quit; changes are asked about. With "
        f"--once, print it after one --interval and end. {_WHO}",
    ),
    "drain": (
        "take members out of service without losing a session",
        "Let members have no new sessions (disabled). With --wait, go on until nothing is on its "
        "way to them and no request of one of their sessions came for --quiet-for; then stop them, "
        f"so that their containers can be ended. Exit code 1: not empty in time, or broken off; "
        f"the members stay disabled. {_WHO}",
    ),
    "activate": (
        "let members have new sessions again",
        f"Let members have all kinds of requests again. {_WHO}",
    ),
    "stop": (
        "let members have no requests at all",
        "Let members have no requests at all from now on; what is on its way ends. Sessions move "
        f"to other members: drain is gentler. {_WHO}",
    ),
    "recover": (
        "have failed members tried again now",
        "Have members in error tried again with the next request, instead of after recover_time. "
        f"Exit code 1: none of them is in error. {_WHO}",
    ),
    "reset": (
        "begin the counts of members, balancers or workers anew",
        "Begin counts anew, and forget errors. A balancer's reset is that of its members, a "
        "member's that of its container too. With --to-files, take back instead what was changed "
        f"while ajpd ran. {_WHO}",
    ),
}


def add_operations(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_files: Files,
    run: Callable[[str], Run],
) -> None:
    """Add the commands.

    Args:
        commands: where to.
        add_files: adds the options that name a configuration.
        run: gives the function that a command runs.
    """
    for name, (short, long) in _ABOUT.items():
        command = commands.add_parser(name, help=short, description=long)
        if name not in ("status", "top"):
            what = _MEMBERS.replace("a member's name", "a name") if name == "reset" else _MEMBERS
            command.add_argument("members", metavar="M", nargs="+", help=what)
        add_files(command)
        command.add_argument("--table", metavar="FILE", help="the status table itself")
        if name == "top":
            _add_watching(command)
        else:
            command.add_argument("--json", action="store_true", help="for machines")
        if name == "drain":
            _add_waiting(command)
        if name == "reset":
            command.add_argument(
                "--to-files",
                dest="back",
                action="store_true",
                help="let count again what the configuration files say",
            )
        command.set_defaults(run=run(name), listen=[])


def add_explain(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", add_files: Files, run: Run
) -> None:
    """Add the command that says what becomes of a request.

    Args:
        commands: where to.
        add_files: adds the options that name a configuration.
        run: does it.
    """
    command = commands.add_parser(
        "explain",
        help="say which rule, worker and member a request gets, and why",
        description="Say which host section and rule decide about a request and why others do not, "
        "which worker it gets, which session it has, which member would be elected and why no "
        "other, and what is sent to the container. Nothing is sent. Without --live, members are as "
        "at a start. Exit code 1: no container gets the request.",
        epilog="example: ajpd explain -c ajpd.toml http://www.example.org/app/ "
        "-H 'Cookie: JSESSIONID=1.nodeA'",
    )
    command.add_argument("url", metavar="URL", help="with http:// or https://, or a path alone")
    add_files(command)
    command.add_argument(
        "-H",
        "--header",
        metavar="HEADER",
        dest="headers",
        action="append",
        default=[],
        help="a header of the request, as in 'Cookie: JSESSIONID=1.nodeA'; may be repeated",
    )
    command.add_argument("--method", metavar="M", default="GET", help="default: GET")
    command.add_argument(
        "--client",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="who asks (default: %(default)s); trusted_proxies may have it",
    )
    command.add_argument(
        "--live",
        action="store_true",
        help="members as the running daemon sees them; nothing of it is changed",
    )
    command.add_argument("--table", metavar="FILE", help="the status table itself, with --live")
    command.add_argument("--json", action="store_true", help="for machines")
    command.set_defaults(run=run, listen=[])


def _add_watching(command: argparse.ArgumentParser) -> None:
    command.add_argument("--once", action="store_true", help="print it, for a pipe or a log")
    command.add_argument(
        "--interval",
        metavar="TIME",
        type=_interval,
        default=2.0,
        help="between two looks, from 500ms on (default: 2s)",
    )
    command.set_defaults(json=False)


def _interval(text: str) -> float:
    found = seconds(text)
    if not _LEAST_INTERVAL_S <= found <= _MOST_INTERVAL_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 500ms and 1h")
    return found


def _add_waiting(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--wait", action="store_true", help="until they are empty, and stop them then"
    )
    command.add_argument(
        "--timeout",
        metavar="TIME",
        type=seconds,
        default=0.0,
        help="wait no longer than that, such as 30min (default: for ever)",
    )
    command.add_argument(
        "--quiet-for",
        metavar="TIME",
        type=seconds,
        default=300.0,
        help="without a request of their sessions (default: 5min); the longest pause that users "
        "make is a good choice",
    )


def seconds(text: str) -> float:
    """Read a time such as `90`, `30s`, `5min`.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 30s or 5min")
    return float(found[1]) * _SECONDS[found[2]]
