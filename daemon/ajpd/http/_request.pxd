"""HTTP/1.1 requests as bytes: the head, and the framing of a chunked body."""

from libc.stdint cimport int64_t, uint8_t

from ajp._wire cimport Slice

cdef enum:
    MOST_FIELDS = 512
    HEAD_INCOMPLETE = 0
    HEAD_MALFORMED = -1


cdef enum Target:
    ORIGIN_FORM
    ABSOLUTE_FORM
    ASTERISK_FORM


cdef struct Field:
    Slice name
    Slice value
    bint dropped            # hop-by-hop: not for the container


cdef class RequestHead:
    """One parsed request head; its slices lie in the bytes it was parsed from.

    There is one of these a process, used between a request's last head byte and its encoding.
    """

    cdef Field fields[MOST_FIELDS]
    cdef Py_ssize_t count
    cdef Slice method
    cdef Slice target               # as sent
    cdef Slice path                 # without query
    cdef Slice query                # NULL when there was no '?'
    cdef Slice authority            # host[:port] of an absolute target; NULL otherwise
    cdef Slice host                 # without port; NULL when not given
    cdef Slice accept               # the first Accept; NULL when not given
    cdef int port                   # of Host or the absolute target; 0 when not given
    cdef int form                   # a Target
    cdef bint https                 # scheme of an absolute target
    cdef int minor                  # of HTTP/1.x
    cdef int64_t content_length     # -1 when not given
    cdef bint chunked
    cdef bint keep_alive
    cdef bint expects_continue
    # why parse refused: status to answer with, and words for the log
    cdef int status
    cdef str problem
    cdef bint _closes               # Connection holds close

    cdef int parse(self, const uint8_t* p, Py_ssize_t length) except -1
    # whether Accept may be a wish for JSON; a quick look
    cdef bint mentions_json(self) noexcept
    # keep fields with these names (lower case, '-' for '_') from the container
    cdef int drop(self, frozenset names) except -1
    cdef int drop_one(self, bytes name) except -1
    # value of the only field of this name (as above); None when there is none, or several
    cdef bytes value_of(self, bytes name)
    cdef int _refuse(self, int status, str problem) except -1
    cdef int _parse_line(self, const uint8_t* p, Py_ssize_t length) except -1
    cdef int _parse_target(self) except -1
    cdef int _parse_authority(self, const uint8_t* p, Py_ssize_t length) except -1
    cdef int _parse_field(self, const uint8_t* p, Py_ssize_t length) except -1
    cdef int _known_field(self, Field* field, int* seen) except -1
    cdef int _parse_connection(self, Slice value) except -1
    cdef void _drop_named(self, Slice wanted) noexcept
    cdef int _settle(self, int seen) except -1


# Length of the head at p, HEAD_INCOMPLETE or HEAD_MALFORMED (a line that does not end in CRLF).
# `line` holds where the first unfinished line begins; 0 at first.
cdef Py_ssize_t head_length(const uint8_t* p, Py_ssize_t available, Py_ssize_t* line) noexcept nogil

# Whether a path is forwarded and matched as it stands; see uri.is_plain for the same rule in words.
cdef bint is_plain_path(const uint8_t* p, Py_ssize_t length) noexcept nogil


cdef enum ChunkPhase:
    CHUNK_SIZE
    CHUNK_EXTENSION
    CHUNK_SIZE_LF
    CHUNK_DATA
    CHUNK_DATA_CR
    CHUNK_DATA_LF
    TRAILER_START
    TRAILER_NAME
    TRAILER_LINE
    TRAILER_LF
    CHUNK_LAST_LF
    CHUNKS_DONE
    CHUNKS_BAD


cdef struct Chunks:
    int phase               # a ChunkPhase
    int digits              # of the size read so far
    int64_t left            # bytes of the current chunk
    Py_ssize_t extra        # bytes spent on extensions and trailers so far


cdef void chunks_init(Chunks* c) noexcept nogil
# Read framing and at most one run of data; returns the bytes consumed, `data` maybe empty.
cdef Py_ssize_t chunks_feed(
    Chunks* c, const uint8_t* p, Py_ssize_t available, Slice* data
) noexcept nogil
