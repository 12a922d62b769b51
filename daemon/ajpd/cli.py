"""The command ajpd: arguments and exit codes.

0 done, 1 the answer is no (a broken configuration, a port in use), 2 usage.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence

from ajp import __version__

from . import demo_front
from .arguments import add_explain, add_operations
from .commands import COMMANDS, explain_request, files_of
from .config.attributes import tomcat_pattern
from .config.directives import in_scope, lookup
from .config.errors import ConfigError, ConfigErrors, ConfigWarning, Findings
from .config.load import load_files, load_toml
from .config.model import Config
from .config.values import Scope
from .control import ControlError, ask_reload
from .importing.command import add_import
from .listeners import ListenError
from .log import setup_logging
from .master import Master
from .process import run_loop
from .tomcat.check import check_servers

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    command: Callable[[argparse.Namespace], int] = args.run
    if args.command == "run":
        return command(args)
    try:
        code = command(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has enough, as head(1) has; nothing more may be written at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ajpd",
        description="HTTP in front, AJP13 to Tomcat behind: in place of Apache httpd and mod_jk.",
    )
    parser.add_argument("--version", action="version", version=f"ajpd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_run(commands)
    _add_reload(commands)
    _add_check(commands)
    add_explain(commands, _add_files, _explain)
    add_import(commands)
    add_operations(commands, _add_files, _operation)
    _add_demo(commands)
    return parser


def _operation(name: str) -> Callable[[argparse.Namespace], int]:
    """What one of the commands for a running daemon does."""

    def run(args: argparse.Namespace) -> int:
        problem = None if args.table and not files_of(args) else _misused(args)
        if problem is not None:
            print(f"ajpd {name}: {problem}", file=sys.stderr)
            return 2
        return COMMANDS[name](args)

    return run


def _add_files(command: argparse.ArgumentParser) -> None:
    command.add_argument("-c", "--config", metavar="FILE", help="ajpd.toml")
    command.add_argument(
        "--workers", metavar="FILE", help="workers.properties, in place of an ajpd.toml"
    )
    command.add_argument("--map", metavar="FILE", help="uriworkermap.properties, with --workers")


def _add_sources(command: argparse.ArgumentParser) -> None:
    _add_files(command)
    command.add_argument(
        "--listen",
        metavar="ADDRESS",
        action="append",
        default=[],
        help=f"with --workers, may be repeated. {_told(Scope.SERVER, 'listen')}",
    )


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser(
        "run",
        help="serve in the foreground",
        description="Serve in the foreground until SIGTERM or SIGINT; requests under way are "
        "finished, a second signal cuts them off. SIGHUP reads the configuration again, SIGUSR1 "
        "opens the log again.",
        epilog="example: ajpd run --workers workers.properties --map uriworkermap.properties "
        "--listen 127.0.0.1:8080",
    )
    _add_sources(run)
    run.add_argument(
        "--processes",
        metavar="N",
        type=_count,
        help=f"with --workers (default: auto). {_told(Scope.SERVER, 'processes')}",
    )
    run.set_defaults(run=_run)


def _told(scope: Scope, name: str) -> str:
    """What the table of directives says about a key, for --help."""
    return lookup(scope, name).doc.replace("%", "%%")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 256")
    return int(text)


def _property(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _add_reload(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "reload",
        help="let a running ajpd read its configuration again",
        description="Let the ajpd that runs with these files read all of its configuration again, "
        "and wait until it serves it. No request is lost. Exit code 1: the new configuration "
        "cannot be used and why, and the old one is served on; or there is no such ajpd.",
    )
    _add_files(command)
    command.set_defaults(run=_reload, listen=[])


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = commands.add_parser(
        "check",
        help="read the configuration and say what is wrong with it",
        description="Read the configuration and print every error and warning, one a line, with "
        "file, line and column. With --server-xml, compare it with Tomcat's side too. Exit code 0: "
        "it can be run, and Tomcat agrees; 1: it cannot, or Tomcat does not.",
        epilog=f"Sections of ajpd.toml: {_sections()}",
    )
    _add_sources(check)
    check.add_argument(
        "--server-xml",
        metavar="[MEMBER=]FILE",
        dest="servers",
        action="append",
        default=[],
        help="compare with the server.xml of a Tomcat, may be repeated; MEMBER says whose it is "
        "where several look for the same port",
    )
    check.add_argument(
        "--property",
        metavar="NAME=VALUE",
        dest="properties",
        action="append",
        default=[],
        type=_property,
        help="a system property that ${NAME} in these files stands for, may be repeated; those of "
        "catalina.properties beside a file are known",
    )
    check.set_defaults(run=_check)


def _sections() -> str:
    """Those that there are, each with its purpose."""
    rows = [row for row in in_scope(Scope.TOP).values() if row.supported]
    told = [f"[{row.name}] {row.doc.partition('. ')[0].removesuffix('.')}." for row in rows]
    return " ".join(told).replace("%", "%%")


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = commands.add_parser(
        "demo",
        help="two embedded containers and a front, nothing to install",
        description="Start two embedded containers with a small application and a front before "
        "them, print what to open, and run until Ctrl-C.",
    )
    demo.add_argument(
        "--listen",
        metavar="ADDRESS",
        default="127.0.0.1:8080",
        help="host:port of the front (default: %(default)s)",
    )
    demo.set_defaults(run=_demo)


def _read(args: argparse.Namespace) -> Config:
    """Load what the arguments name; raises ConfigErrors."""
    if args.config is not None:
        return load_toml(args.config)
    config = load_files(args.workers, args.map, args.listen)
    count = getattr(args, "processes", None)
    if count is None:
        return config
    return dataclasses.replace(config, server=dataclasses.replace(config.server, processes=count))


def _load(args: argparse.Namespace, *, warns: bool = True) -> Config | None:
    """Load what the arguments name, printing warnings and errors; None when it is broken."""
    try:
        config = _read(args)
    except ConfigErrors as broken:
        _show(broken.errors, broken.warnings)
        return None
    _show((), config.warnings if warns else ())
    return config


def _show(errors: Sequence[ConfigError], warnings: Sequence[ConfigWarning]) -> None:
    """Print what was found, one thing a line."""
    for warning in warnings:
        print(f"warning: {warning.located}", file=sys.stderr)
    for error in errors:
        print(f"error: {error.located}", file=sys.stderr)
    if errors:
        print(f"ajpd: {_counted(len(errors), 'error')}", file=sys.stderr)


def _misused(args: argparse.Namespace) -> str | None:
    if args.config is None and args.workers is None:
        return "give a configuration: -c ajpd.toml, or --workers workers.properties"
    if args.config is not None and (args.workers or args.map or args.listen):
        return "-c stands alone: --workers, --map and --listen belong to a run without ajpd.toml"
    return None


def _run(args: argparse.Namespace) -> int:
    problem = _misused(args)
    if problem is None and args.config is not None and args.processes is not None:
        problem = "--processes belongs to --workers; with -c it is a key of [server]"
    if problem is not None:
        print(f"ajpd run: {problem}", file=sys.stderr)
        return 2
    config = _load(args)
    if config is None:
        return 1
    return Master(config, lambda: _read(args), files_of(args)).run()


def _reload(args: argparse.Namespace) -> int:
    problem = _misused(args)
    if problem is not None:
        print(f"ajpd reload: {problem}", file=sys.stderr)
        return 2
    try:
        answer = ask_reload(files_of(args))
    except ControlError as exc:
        print(f"ajpd reload: {exc}", file=sys.stderr)
        return 1
    for warning in answer.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for error in answer.errors:
        print(f"error: {error}", file=sys.stderr)
    if answer.done:
        print(answer.text)
        return 0
    print("ajpd reload: refused, the old configuration is served on", file=sys.stderr)
    return 1


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _check(args: argparse.Namespace) -> int:
    problem = _misused(args)
    if problem is not None:
        print(f"ajpd check: {problem}", file=sys.stderr)
        return 2
    config = _load(args)
    if config is None:
        return 1
    findings = Findings()
    said = check_servers(config, args.servers, dict(args.properties), findings)
    _show(findings.errors, findings.warnings)
    if findings.errors:
        return 1
    counts = [_counted(len(config.workers), "worker")]
    if config.balancers:
        members = sum(len(balancer.members) for balancer in config.balancers.values())
        found = _counted(len(config.balancers), "balancer")
        counts.append(f"{found} with {_counted(members, 'member')}")
    if config.statuses:
        counts.append(_counted(len(config.statuses), "status worker"))
    print(f"ok: {', '.join(counts)}, {_counted(len(config.rules), 'rule')}")
    if config.attributes:
        pattern = tomcat_pattern(config.attributes)
        print(f'for the Connector of Tomcat: allowedRequestAttributesPattern="{pattern}"')
    for line in said:
        print(f"ok: {line}")
    return 0


def _explain(args: argparse.Namespace) -> int:
    problem = _misused(args)
    if problem is None and args.table and not args.live:
        problem = "--table belongs to --live"
    if problem is not None:
        print(f"ajpd explain: {problem}", file=sys.stderr)
        return 2
    config = _load(args, warns=False)
    return 1 if config is None else explain_request(args, config)


def _demo(args: argparse.Namespace) -> int:
    setup_logging("warning")
    try:
        return run_loop(demo_front.run(args.listen))
    except ValueError as exc:
        print(f"ajpd demo: --listen: {exc}", file=sys.stderr)
        return 2
    except ListenError as exc:
        print(f"ajpd demo: {exc}", file=sys.stderr)
        print("try: ajpd demo --listen 127.0.0.1:8081", file=sys.stderr)
        return 1
