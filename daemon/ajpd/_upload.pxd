"""A request body on its way from the client to the container."""

from libc.stdint cimport int64_t

from ajpd._service cimport ClientSide
from ajpd.http._request cimport Chunks, RequestHead


cdef class Upload:
    """One request body: framing on the client's side, packets on the container's."""

    cdef ClientSide client
    cdef bint complete              # all of it came from the client
    cdef bint by_chunks
    cdef bint broken                # its chunked framing cannot be trusted
    cdef bint expects_continue      # the client waits for 100 Continue
    cdef int64_t left               # still to come from the client; of a known length
    cdef int64_t total              # came from the client so far
    cdef Chunks chunks
    cdef list queue                 # (bytes, start, end) that wait for the container
    cdef Py_ssize_t queued          # their bytes
    cdef bint dropping              # answered: what still comes goes nowhere
    cdef list given                 # body packets the container has; None: more than is kept
    cdef Py_ssize_t given_size      # their bytes of data
    cdef Py_ssize_t keep            # most of them

    cdef Py_ssize_t feed(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef bytes take_packet(self, Py_ssize_t most)
    cdef int rewind(self) except -1
    cdef int forget(self) except -1
    cdef int drop(self) except -1
    cdef int say_continue(self) except -1
    cdef int _enqueue(self, bytes data, Py_ssize_t start, Py_ssize_t length) except -1


cdef Upload upload_of(RequestHead head, ClientSide client)
