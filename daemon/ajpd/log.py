"""Where messages go and what they look like."""

import logging
import sys
import time

__all__ = ["setup_logging"]


class _Formatter(logging.Formatter):
    """One line an event: time with milliseconds and zone, level, logger, message."""

    def formatTime(  # noqa: N802 - overrides logging's name
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """ISO 8601 with milliseconds and offset."""
        local = time.localtime(record.created)
        offset = time.strftime("%z", local)
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int(record.msecs):03d}{offset}"


def setup_logging(level: str, file: str = "") -> None:
    """Send the messages of library and daemon to a file or to stderr.

    Args:
        level: debug, info, warning or error.
        file: path to append to; empty for stderr.

    Raises:
        OSError: the file cannot be opened.
    """
    handler: logging.Handler
    handler = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in ("ajp", "ajpd", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
