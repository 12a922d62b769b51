"""A request body on its way from the client to the container.

Takes the client's framing off, queues what the container did not ask for yet, and cuts body
packets. What the container has is kept as long as it is small enough to be sent again, should
another attempt be made. Decides nothing about attempts or answers.

Source: mod_jk keeps the first body packet for its retries (`ajp_send_request`).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from ajp._packets cimport body_packet_header
from ajp._wire cimport Slice
from ajpd._service cimport ClientSide
from ajpd.http._request cimport CHUNKS_BAD, CHUNKS_DONE, RequestHead, chunks_feed, chunks_init

__all__ = ["Upload"]


cdef enum:
    # The client's body waits here while the container is busy: one packet and one read ahead.
    QUEUE_HIGH = 131072
    QUEUE_LOW = 65536
    # Prefix, length and chunk length in front of the data of a body packet.
    PACKET_FRAME = 6

cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


cdef Upload upload_of(RequestHead head, ClientSide client):
    """The body that a head announces; None when there is none."""
    cdef Upload upload
    if not head.chunked and head.content_length <= 0:
        return None
    upload = Upload.__new__(Upload)
    upload.client = client
    upload.by_chunks = head.chunked
    upload.left = 0 if head.chunked else head.content_length
    upload.expects_continue = head.expects_continue
    upload.queue = []
    upload.given = []
    chunks_init(&upload.chunks)
    return upload


@cython.final
cdef class Upload:
    """One request body."""

    def __repr__(self):
        return f"<Upload total={self.total} queued={self.queued} complete={bool(self.complete)}>"

    cdef Py_ssize_t feed(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1:
        """Take body out of data[start:end]; the bytes that belong to it. Look at `broken` then."""
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t pos = start, length
        cdef Slice piece
        if not self.by_chunks:
            length = end - pos
            if length > self.left:
                length = <Py_ssize_t>self.left
            self.left -= length
            self.complete = self.left == 0
            self._enqueue(data, pos, length)
            return length
        while pos < end and not self.complete:
            pos += chunks_feed(&self.chunks, p + pos, end - pos, &piece)
            if self.chunks.phase == CHUNKS_BAD:
                self.broken = True
                break
            if self.chunks.phase == CHUNKS_DONE:
                self.complete = True
            if piece.len > 0:
                self._enqueue(data, piece.ptr - p, piece.len)
        return pos - start

    cdef int _enqueue(self, bytes data, Py_ssize_t start, Py_ssize_t length) except -1:
        self.total += length
        self.expects_continue = False
        if self.dropping or length == 0:
            return 0
        self.queue.append((data, start, start + length))
        self.queued += length
        if self.queued >= QUEUE_HIGH:
            self.client.want_body(False)
        return 0

    cdef bytes take_packet(self, Py_ssize_t most):
        """One body packet out of the queue, at least one byte and at most `most`."""
        cdef Py_ssize_t size = self.queued if self.queued < most else most
        cdef Py_ssize_t at = PACKET_FRAME, start, end, taken
        cdef int used = 0
        cdef bytes data
        cdef bytes packet = PyBytes_FromStringAndSize(NULL, size + PACKET_FRAME)
        cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(packet)
        body_packet_header(out, size)
        while at < size + PACKET_FRAME:
            data, start, end = self.queue[used]
            taken = end - start
            if taken > size + PACKET_FRAME - at:
                taken = size + PACKET_FRAME - at
                self.queue[used] = (data, start + taken, end)
            else:
                used += 1
            memcpy(out + at, PyBytes_AS_STRING(data) + start, <size_t>taken)
            at += taken
        del self.queue[:used]
        self.queued -= size
        if self.given is not None:
            self.given_size += size
            if self.given_size <= self.keep:
                self.given.append(packet)
            else:
                self.given = None
        if self.queued <= QUEUE_LOW and not self.complete:
            self.client.want_body(True)
        return packet

    cdef int rewind(self) except -1:
        """Put what the container had in front of the queue again; `given` must not be None."""
        cdef bytes packet
        cdef list again = [
            (packet, PACKET_FRAME, PyBytes_GET_SIZE(packet)) for packet in self.given
        ]
        self.queue = again + self.queue
        self.queued += self.given_size
        self.given = []
        self.given_size = 0
        return 0

    cdef int forget(self) except -1:
        """There will be no other attempt."""
        self.given = None
        return 0

    cdef int drop(self) except -1:
        """The request is answered: nothing of the body is needed any more."""
        self.dropping = True
        self.given = None
        self.queue.clear()
        self.queued = 0
        return 0

    cdef int say_continue(self) except -1:
        """Let the client begin, when it waits for that."""
        if self.expects_continue:
            self.expects_continue = False
            self.client.write(CONTINUE)
            self.client.want_body(True)
        return 0
