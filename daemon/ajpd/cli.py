"""The command ajpd: arguments and exit codes.

0 done, 1 the answer is no (a broken configuration, a port in use), 2 usage.
"""

import argparse
import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ajp import __version__

from . import demo_front
from .config.attributes import tomcat_pattern
from .config.certificates import BadCertificate
from .config.errors import ConfigErrors
from .config.load import load_files, load_toml
from .config.model import Config
from .log import setup_logging
from .process import ListenError, address_of, open_listener, serve

__all__ = ["main"]

logger = logging.getLogger("ajpd")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    command: Callable[[argparse.Namespace], int] = args.run
    return command(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ajpd",
        description="HTTP in front, AJP13 to Tomcat behind: in place of Apache httpd and mod_jk.",
    )
    parser.add_argument("--version", action="version", version=f"ajpd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_run(commands)
    _add_check(commands)
    _add_demo(commands)
    return parser


def _add_sources(command: argparse.ArgumentParser) -> None:
    command.add_argument("-c", "--config", metavar="FILE", help="ajpd.toml")
    command.add_argument(
        "--workers", metavar="FILE", help="workers.properties, in place of an ajpd.toml"
    )
    command.add_argument("--map", metavar="FILE", help="uriworkermap.properties, with --workers")
    command.add_argument(
        "--listen",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="host:port, [v6]:port or unix:/path, with --workers; may be repeated",
    )


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser(
        "run",
        help="serve in the foreground",
        description="Serve in the foreground until SIGTERM or SIGINT; requests under way are "
        "finished, a second signal cuts them off.",
        epilog="example: ajpd run --workers workers.properties --map uriworkermap.properties "
        "--listen 127.0.0.1:8080",
    )
    _add_sources(run)
    run.set_defaults(run=_run)


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = commands.add_parser(
        "check",
        help="read the configuration and say what is wrong with it",
        description="Read the configuration and print every error and warning, one a line, with "
        "file and line. Exit code 0: it can be run, 1: it cannot.",
    )
    _add_sources(check)
    check.set_defaults(run=_check)


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


def _load(args: argparse.Namespace) -> Config | None:
    """Load what the arguments name, printing warnings and errors; None when it is broken."""
    try:
        if args.config is not None:
            config = load_toml(args.config)
        else:
            config = load_files(args.workers, args.map, args.listen)
    except ConfigErrors as broken:
        for warning in broken.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        for error in broken.errors:
            print(f"error: {error}", file=sys.stderr)
        count = len(broken.errors)
        print(f"ajpd: {count} error{'s' if count != 1 else ''}", file=sys.stderr)
        return None
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return config


def _misused(args: argparse.Namespace) -> str | None:
    if args.config is None and args.workers is None:
        return "give a configuration: -c ajpd.toml, or --workers workers.properties"
    if args.config is not None and (args.workers or args.map or args.listen):
        return "-c stands alone: --workers, --map and --listen belong to a run without ajpd.toml"
    return None


def _run(args: argparse.Namespace) -> int:
    problem = _misused(args)
    if problem is not None:
        print(f"ajpd run: {problem}", file=sys.stderr)
        return 2
    config = _load(args)
    if config is None:
        return 1
    try:
        setup_logging(config.log.level, config.log.file)
    except OSError as exc:
        print(f"ajpd: log.file: {exc}", file=sys.stderr)
        return 1
    sockets: list[socket.socket] = []
    tls_sockets: list[socket.socket] = []
    try:
        for address in config.server.listen:
            sockets.append(open_listener(address))
        for address in config.tls.listen if config.tls is not None else ():
            tls_sockets.append(open_listener(address))
    except ListenError as exc:
        for sock in (*sockets, *tls_sockets):
            sock.close()
        print(f"ajpd: {exc}", file=sys.stderr)
        return 1

    def ready() -> None:
        listening = [address_of(sock) for sock in sockets]
        listening += [f"{address_of(sock)} (TLS)" for sock in tls_sockets]
        logger.info("ajpd %s listens on %s", __version__, ", ".join(listening))

    try:
        return run_loop(serve(config, sockets, tls_sockets=tls_sockets, on_ready=ready))
    except BadCertificate as exc:  # it was good a moment ago
        print(f"ajpd: tls.{exc.key}: {exc}", file=sys.stderr)
        return 1


def _check(args: argparse.Namespace) -> int:
    problem = _misused(args)
    if problem is not None:
        print(f"ajpd check: {problem}", file=sys.stderr)
        return 2
    config = _load(args)
    if config is None:
        return 1
    workers = len(config.workers)
    print(
        f"ok: {workers} worker{'s' if workers != 1 else ''}, "
        f"{len(config.rules)} rule{'s' if len(config.rules) != 1 else ''}"
    )
    if config.attributes:
        pattern = tomcat_pattern(config.attributes)
        print(f'for the Connector of Tomcat: allowedRequestAttributesPattern="{pattern}"')
    return 0


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


def run_loop(main: Coroutine[Any, Any, None]) -> int:
    """Run on uvloop where it is installed, on asyncio's own loop otherwise."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    return 0
