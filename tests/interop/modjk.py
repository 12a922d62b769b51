"""What a real mod_jk makes of a workers.properties: its status worker tells.

Each question starts an Apache of its own, which takes a tenth of a second; no container is needed.
"""

import http.client
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .apache import httpd_command, httpd_modules
from .processes import ServerFailed, ServerProcess, free_port, listens

__all__ = ["Answer", "Refused", "ask_for_workers", "ask_mod_jk"]

#: Name of the status worker that is added to the file; its list begins with it.
STATUS = "parity-status"
_START_TIMEOUT = 20.0
_RULE = re.compile(r"(.+)\.map\.[0-9]+")
_HTTPD = """\
ServerName localhost
ServerRoot {base}
PidFile {base}/httpd.pid
Mutex file:{base} default
ErrorLog {base}/httpd.error.log
{modules}
ServerLimit 1
StartServers 1
ThreadsPerChild 16
MinSpareThreads 1
MaxSpareThreads 16
MaxRequestWorkers 16
MaxKeepAliveRequests 0
DocumentRoot {base}/empty
Listen 127.0.0.1:{port}
{properties}
JkWorkersFile {base}/workers.properties
{mount_file}
JkShmFile {base}/jk.shm
JkLogFile {base}/mod_jk.log
JkLogLevel warn
JkMount /parity-status {status}
{more}
"""


class Refused(Exception):  # noqa: N818 - says what happened
    """Apache did not start with this file; the message is the end of mod_jk's log."""


@dataclass(slots=True)
class Answer:
    """What the status worker said.

    Attributes:
        values: of `?mime=prop`, by worker and field.
        rules: of each worker, in the order they are shown; their fields.
        members: of each balancer, in order.
        properties: of `?cmd=dump`: all keys as mod_jk has them, references resolved.
        log: mod_jk's, warnings and errors.
    """

    values: dict[tuple[str, str], str] = field(default_factory=dict)
    rules: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    log: str = ""

    @property
    def listed(self) -> set[str]:
        """Balancers, and workers that stand alone."""
        return {name for name, key in self.values if key == "map_count"}


def ask_mod_jk(
    folder: Path, workers: bytes, uri_map: bytes | None = None, *, status: str = STATUS
) -> Answer:
    """Start Apache with these files and a status worker besides, and read what that says.

    Args:
        folder: an empty directory that other users may enter.
        workers: content of workers.properties.
        uri_map: content of uriworkermap.properties.
        status: name of the status worker. It is added to worker.list, unless it is the name that
            mod_jk takes when there is no list.

    Raises:
        Refused: Apache does not start with it.
    """
    with _running(folder, workers, uri_map, status=status) as port:
        try:
            return _read(port, _log(folder))
        except (ConnectionError, http.client.HTTPException) as exc:
            # It listens before it has read the file.
            raise Refused(_log(folder)) from exc


def ask_for_workers(
    folder: Path,
    names: Iterable[str],
    uri_map: bytes,
    paths: Iterable[bytes],
    *,
    more: str = "",
    host: str = "localhost",
) -> list[str | None]:
    """Which worker a real mod_jk finds for each path.

    The workers are of type status and answer with their name, so no container is needed.

    Args:
        folder: an empty directory that other users may enter.
        names: of workers that the rules may name.
        uri_map: content of uriworkermap.properties.
        paths: as they stand in the request line.
        more: lines of Apache's configuration, with `{base}` for the directory and `{port}`.
        host: to ask for.

    Returns:
        names, None where no rule counts.
    """
    lines = [f"worker.list={','.join(names)}"]
    for name in names:
        lines += [f"worker.{name}.type=status", f"worker.{name}.prefix={name}"]
    with _running(folder, "\n".join(lines).encode(), uri_map, more=more) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            return [_worker_for(connection, path, host) for path in paths]
        finally:
            connection.close()


def _worker_for(connection: http.client.HTTPConnection, path: bytes, host: str) -> str | None:
    """Ask on a connection that Apache may have closed: it does so when its threads are busy."""
    try:
        return _ask_for_worker(connection, path, host)
    except (http.client.RemoteDisconnected, ConnectionResetError):
        connection.close()
        return _ask_for_worker(connection, path, host)


def _ask_for_worker(connection: http.client.HTTPConnection, path: bytes, host: str) -> str | None:
    target = f"{path.decode('latin-1')}?cmd=version&mime=prop"
    connection.putrequest("GET", target, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    text = response.read().decode("latin-1")
    return text.partition(".")[0] if response.status == 200 else None


@contextmanager
def _running(
    folder: Path,
    workers: bytes,
    uri_map: bytes | None = None,
    *,
    status: str = STATUS,
    more: str = "",
) -> Iterator[int]:
    """An Apache with these files; gives its port."""
    port = free_port()
    added = [f"JkWorkerProperty worker.{status}.type=status"]
    if status != "ajp13":
        added.insert(0, f"JkWorkerProperty worker.list={status}")
    (folder / "empty").mkdir()
    (folder / "workers.properties").write_bytes(workers)
    if uri_map is not None:
        (folder / "uriworkermap.properties").write_bytes(uri_map)
    mount_file = "" if uri_map is None else f"JkMountFile {folder}/uriworkermap.properties"
    text = _HTTPD.format(
        base=folder,
        modules=httpd_modules(),
        port=port,
        properties="\n".join(added),
        mount_file=mount_file,
        status=status,
        more=more.format(base=folder, port=port),
    )
    (folder / "httpd.conf").write_text(text)
    process = ServerProcess("mod_jk", httpd_command(folder / "httpd.conf"), folder)
    try:
        process.start(lambda: listens(port), timeout=_START_TIMEOUT)
    except ServerFailed as exc:
        raise Refused(_log(folder)) from exc
    try:
        yield port
    finally:
        process.stop()


def _log(folder: Path) -> str:
    log = folder / "mod_jk.log"
    return log.read_text("latin-1") if log.exists() else ""


def _read(port: int, log: str) -> Answer:
    answer = Answer(log=log)
    for key, value in _pairs(port, "mime=prop"):
        name, _, field_name = key.removeprefix("worker.").rpartition(".")
        rule = _RULE.fullmatch(name)
        if rule is not None:
            rules = answer.rules.setdefault(rule[1], [])
            if field_name == "server":
                rules.append({})
            rules[-1][field_name] = value
        elif field_name == "balance_workers":
            answer.members.setdefault(name, []).append(value)
        elif name:
            answer.values[name, field_name] = value
    begun = False
    for key, value in _pairs(port, "cmd=dump&mime=prop"):
        # The list is the first thing that was read, before the file.
        begun = begun or key in ("worker.list", f"worker.{STATUS}.type", "worker.ajp13.type")
        if begun:
            answer.properties[key] = value
    return answer


def _pairs(port: int, query: str) -> list[tuple[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/parity-status?{query}")
        response = connection.getresponse()
        text = response.read().decode("latin-1")
        assert response.status == 200, text
    finally:
        connection.close()
    found = []
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        found.append((key, value))
    return found
