"""The rule of a path, in the form that exchanges read."""


cdef class Rule:
    """Where the requests of a rule go, and what it asks for besides."""

    cdef readonly object mount          # config.model.Mount
    cdef str worker                     # name of the target
    cdef object extension               # what it says to a balancer; None
    cdef tuple fail_on_status           # None: the worker's
    cdef double reply_timeout           # seconds instead of the worker's; -1: the worker's
    cdef int use_server_errors          # statuses from here on get pages of our own; 0: none


cdef class Rules:
    """Those of all hosts, and which of them paths had that were asked for before."""

    cdef readonly bint by_host          # the name that is asked for makes a difference
    cdef object _match                  # path bytes -> Mount or None
    cdef object _match_host             # host bytes, path bytes -> the same
    cdef dict _found                    # path, with hosts `host NUL path` -> Rule or None

    cpdef Rule find(self, bytes path, bytes host)
