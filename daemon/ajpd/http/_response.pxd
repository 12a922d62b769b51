"""HTTP/1.1 responses as bytes: a container's head turned into ours."""

from libc.stdint cimport int64_t

from ajp._packets cimport ResponseHead


cdef enum Framing:
    NO_BODY             # HEAD, 204, 304: nothing follows the head
    BY_LENGTH           # Content-Length as the container said
    BY_CHUNKS           # Transfer-Encoding: chunked
    BY_CLOSE            # HTTP/1.0: the body ends with the connection


cdef struct ResponsePlan:
    # In: what the request asked for.
    bint head_request
    int minor                   # of the client's HTTP/1.x
    bint keep_alive             # in: wanted; out: promised
    # Out: how the body goes.
    int framing                 # a Framing
    int64_t length              # of BY_LENGTH


# The head as it goes to the client, with `more` lines of ours unless None; raises
# RemoteProtocolError for lengths that contradict.
cdef bytes response_head(ResponseHead head, ResponsePlan* plan, bytes date_line, bytes more)
