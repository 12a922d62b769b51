"""All server.xml of a check: read, paired with workers, compared."""

import os
from collections.abc import Iterable, Mapping

from ajpd.config.errors import Findings
from ajpd.config.model import Config

from .compare import compare
from .pairs import find_pairs, port_of, socket_of
from .server_xml import read_server_xml

__all__ = ["check_servers"]


def check_servers(
    config: Config, files: Iterable[str], properties: Mapping[str, str], findings: Findings
) -> list[str]:
    """Compare the files of Tomcats with a configuration.

    Args:
        config: of the daemon.
        files: paths, or `member=path` to say whose Tomcat it is.
        properties: system properties of these Tomcats.
        findings: gets what does not fit.

    Returns:
        what was compared with what, a line for each connector.
    """
    said = []
    for text in files:
        whose, path = _parted(text)
        server = read_server_xml(path, findings, properties)
        if server is None:
            continue
        for pair in find_pairs(config, server, whose, findings):
            compare(config, pair, findings)
            where = socket_of(pair.connector) or f"port {port_of(pair.connector)}"
            said.append(f"{path}: the connector at {where} is that of {pair.names}")
    return said


def _parted(text: str) -> tuple[str | None, str]:
    """Whose file it is, and its path; a file whose own name has a `=` is taken as it stands."""
    whose, equals, path = text.partition("=")
    if not equals or os.path.exists(text):
        return None, text
    return whose, path
