"""The command `ajpd import`: arguments, where text and remarks go, and its exit code."""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Final

from .importer import Imported, Options, import_configuration
from .remarks import Level, Remark, as_text

__all__ = ["add_import"]

_ABOUT: Final = (
    "Read Apache's configuration (mod_jk, mod_proxy_ajp) and write an ajpd.toml that does the "
    "same, to standard output or to a file. Every line that is not carried over, or means "
    "something else here, is named on standard error, with the reason and what to do. PATH is a "
    "file of Apache, a directory such as /etc/apache2 or conf.d, a workers.properties or an "
    "uriworkermap.properties; all of them are one configuration. Nothing else is changed. Exit "
    "code 0: ajpd check accepts what was written; 1: it does not, and why."
)


def add_import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    command = commands.add_parser(
        "import",
        help="make an ajpd.toml of Apache's configuration",
        description=_ABOUT,
        epilog="example: ajpd import /etc/apache2 --output /etc/ajpd/ajpd.toml",
    )
    command.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="what to read")
    _add_output(command)
    _add_reading(command)
    command.set_defaults(run=_run)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="write there, if there is nothing yet"
    )
    command.add_argument("--force", action="store_true", help="replace what is there")
    command.add_argument("--json", action="store_true", help="for machines, on standard output")


def _add_reading(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--server-root",
        metavar="DIR",
        type=Path,
        help="where Apache's directory (ServerRoot) is, or a copy of it",
    )
    command.add_argument(
        "-D",
        dest="defines",
        metavar="NAME",
        action="append",
        default=[],
        type=_define,
        help="what Apache is started with, for <IfDefine> and ${NAME}; NAME=VALUE gives a value",
    )
    command.add_argument(
        "--listen",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="listen there in place of Apache's addresses, to try it beside Apache",
    )
    command.add_argument(
        "--in-place",
        action="store_true",
        help="write workers and rules of all files into ajpd.toml, which names no other file then",
    )


def _define(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not re.fullmatch(r"[^\s=]+", name):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME or NAME=VALUE")
    return name, value


def _run(args: argparse.Namespace) -> int:
    output: Path | None = args.output
    if output is not None and not args.force and os.path.lexists(output):
        return _refuse(args, f"{output} is there already; --force replaces it")
    options = Options(
        root=args.server_root,
        defines=dict(args.defines),
        listen=args.listen,
        in_place=args.in_place,
    )
    try:
        found = import_configuration(args.paths, options)
        if output is not None:
            _write(output, found, force=args.force)
    except (OSError, ValueError) as exc:
        name = getattr(exc, "filename", None)
        why = getattr(exc, "strerror", None) or exc
        return _refuse(args, f"{name}: {why}" if name else str(why))
    _show(args, found)
    return 0 if found.is_good else 1


def _refuse(args: argparse.Namespace, why: str) -> int:
    if args.json:
        print(json.dumps({"done": False, "error": why}, indent=2))
    print(f"ajpd import: {why}", file=sys.stderr)
    return 1


def _write(path: Path, found: Imported, *, force: bool) -> None:
    """Write it; a secret is for its owner alone."""
    mode = 0o600 if found.has_secret else 0o644
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    fd = os.open(path, flags, mode)
    with open(fd, "w", encoding="utf-8") as file:
        if found.has_secret:
            os.fchmod(fd, mode)
        file.write(found.text)


def _show(args: argparse.Namespace, found: Imported) -> None:
    if args.json:
        output = None if args.output is None else str(args.output)
        remarks = [_as_json(remark) for remark in found.remarks]
        text = {"text": found.text} if output is None else {}
        whole = {"done": found.is_good, "output": output, **text, "remarks": remarks}
        print(json.dumps(whole, indent=2))
        return
    if args.output is None:
        print(found.text, end="")
    for line in as_text(found.remarks):
        print(line, file=sys.stderr)
    print(_summary(args, found), file=sys.stderr)


def _as_json(remark: Remark) -> dict[str, object]:
    place = remark.place
    return {
        "level": remark.level.value,
        "file": place.file,
        "line": place.line,
        "directive": remark.directive,
        "reason": remark.reason,
        "advice": remark.advice,
    }


def _summary(args: argparse.Namespace, found: Imported) -> str:
    counts = []
    for level in Level:
        count = sum(remark.level is level for remark in found.remarks)
        counts.append(f"{count} {level}" if count == 1 else f"{count} {level}s")
    where = "written" if args.output is None else f"written to {args.output}"
    end = "ajpd check accepts it" if found.is_good else "ajpd check does not accept it"
    return f"ajpd import: {where}, {', '.join(counts)}; {end}"
