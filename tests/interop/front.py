"""What the tests know of the server in front: an address, and the Tomcat connector behind it."""

from dataclasses import dataclass

from .processes import ServerProcess, established
from .tomcat import Connector

__all__ = ["Front"]

#: Words that no log of a healthy daemon has.
_COMPLAINTS = ("Traceback (most recent call last)", "Exception ignored in", "never retrieved")


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """One address of the server under test, or of the one it is compared with.

    Attributes:
        name: `ajpd` or `mod_jk`.
        process: of the server.
        port: where it accepts HTTP on the loopback.
        connector: where its requests go.
        style: kind of files it was started from, for messages.
    """

    name: str
    process: ServerProcess
    port: int
    connector: Connector
    style: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """To connect to."""
        return "127.0.0.1", self.port

    @property
    def is_ajpd(self) -> bool:
        """False for mod_jk, of which not everything is expected."""
        return self.name == "ajpd"

    def connections(self) -> int:
        """Established connections to the connector, of this front and all others."""
        return established(self.connector.port)

    def complaints(self, *, since: int = 0) -> list[str]:
        """Lines of the log, from a position on, that show an error of the program itself."""
        lines = self.process.output()[since:].splitlines()
        return [line for line in lines if any(words in line for words in _COMPLAINTS)]
