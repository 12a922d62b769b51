"""The rule of a path, in the form that exchanges read.

Which rule a path has is decided by `config.urimap`; what was found is kept here, so that a path
that is asked for again costs one look.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

__all__ = ["Rule", "Rules"]


cdef enum:
    # Paths kept, forgotten all at once when there are more, and the longest worth its memory.
    MOST_FOUND = 1024
    LONGEST_FOUND = 256


@cython.final
cdef class Rule:
    """A `config.model.Mount` as exchanges see it."""

    def __init__(self, mount):
        self.mount = mount
        self.worker = mount.worker
        self.extension = mount.extension
        self.fail_on_status = mount.fail_on_status
        self.reply_timeout = -1.0
        if mount.reply_timeout_ms is not None:
            self.reply_timeout = mount.reply_timeout_ms / 1000
        self.use_server_errors = mount.use_server_errors

    def __repr__(self):
        return f"<Rule {self.mount}>"


@cython.final
cdef class Rules:
    """What finds rules, and what it found.

    Args:
        match: finds the mount of a normalised path, or None; always the same for the same path.
        match_host: takes the name that is asked for, without port, before the path; None where
            one set of rules is for all.
    """

    def __init__(self, match, match_host=None):
        self._match = match
        self._match_host = match_host
        self.by_host = match_host is not None
        self._found = {}

    def __repr__(self):
        return f"<Rules by_host={bool(self.by_host)} found={len(self._found)}>"

    cpdef Rule find(self, bytes path, bytes host):
        """The rule for a normalised path, or None; the host counts where `by_host` is set."""
        cdef bytes key = path if not self.by_host else host + b"\0" + path
        try:
            return self._found[key]
        except KeyError:
            pass
        mount = self._match_host(host, path) if self.by_host else self._match(path)
        rule = None if mount is None else Rule(mount)
        if PyBytes_GET_SIZE(key) <= LONGEST_FOUND:
            if len(self._found) >= MOST_FOUND:
                self._found.clear()
            self._found[key] = rule
        return rule
