"""AJP13 packets in C: the compiled interface of the data path."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t

from ajp._wire cimport Reader, Slice, Writer

cdef enum:
    # Repeated from constants.py for C switches; tests/unit/test_codec_constants.py compares them.
    FORWARD_REQUEST = 2
    SEND_BODY_CHUNK = 3
    SEND_HEADERS = 4
    END_RESPONSE = 5
    GET_BODY_CHUNK = 6
    SHUTDOWN_PACKET = 7
    PING_PACKET = 8
    CPONG_PACKET = 9
    CPING_PACKET = 10

    ATTR_REMOTE_USER = 3
    ATTR_AUTH_TYPE = 4
    ATTR_QUERY_STRING = 5
    ATTR_ROUTE = 6
    ATTR_SSL_CERT = 7
    ATTR_SSL_CIPHER = 8
    ATTR_SSL_SESSION = 9
    ATTR_REQ_ATTRIBUTE = 10
    ATTR_SSL_KEY_SIZE = 11
    ATTR_SECRET = 12
    ATTR_STORED_METHOD = 13

    MAGIC_FROM_WEB_SERVER_U16 = 0x1234
    MAGIC_FROM_CONTAINER_U16 = 0x4142

    PACKET_HEADER = 4
    LARGEST_PACKET = 65536
    STORED_METHOD = 255

    # Headers of one message; constants.DEFAULT_MAX_HEADERS.
    MOST_HEADERS = 512

    NEED_MORE = -1
    MALFORMED = -2


cdef struct RequestLine:
    # What a FORWARD_REQUEST says before its headers; slices are borrowed.
    Slice method
    Slice protocol
    Slice uri
    Slice remote_addr
    Slice remote_host
    Slice server_name
    Py_ssize_t server_port  # 0-65535
    bint is_ssl


# Framing. Payload length >= 0, NEED_MORE, or MALFORMED with the reason in `error`.
cdef Py_ssize_t packet_length(
    const uint8_t* p, Py_ssize_t available, uint16_t magic, Py_ssize_t max_packet_size, Reader* error
) noexcept nogil
# The exception for a reader's error; packet_type -1 when it was not read.
cdef object remote_error(Reader* r, int packet_type)

# FORWARD_REQUEST, in this order: begin, header*, end_headers, attribute*, end.
cdef int method_code(const uint8_t* p, Py_ssize_t length) noexcept nogil
cdef bint is_token(const uint8_t* p, Py_ssize_t length) noexcept nogil
cdef bint has_line_break(const uint8_t* p, Py_ssize_t length) noexcept nogil
cdef bint is_header_value(const uint8_t* p, Py_ssize_t length) noexcept nogil
cdef bint equals_ignoring_case(
    const uint8_t* p, const char* lower, Py_ssize_t length
) noexcept nogil
# Low byte of the code of a request header name in any case, 0 when it has none.
cdef int request_header_code(const uint8_t* p, Py_ssize_t length) noexcept nogil
cdef int response_header_code(const uint8_t* p, Py_ssize_t length) noexcept nogil
# 1*DIGIT up to 2^63-1, or -1.
cdef int64_t parse_length(const uint8_t* p, Py_ssize_t length) noexcept nogil
cdef void begin_forward_request(Writer* w, const RequestLine* line) noexcept nogil
cdef void put_request_header(
    Writer* w, const uint8_t* name, Py_ssize_t name_len, const uint8_t* value, Py_ssize_t value_len
) noexcept nogil
# The value of either direction; counts the header, or refuses it.
cdef void put_header_value(Writer* w, const uint8_t* value, Py_ssize_t length) noexcept nogil
cdef void end_request_headers(Writer* w) noexcept nogil
cdef void put_attribute(
    Writer* w, uint8_t code, const uint8_t* value, Py_ssize_t length
) noexcept nogil
cdef void put_key_size(Writer* w, Py_ssize_t bits) noexcept nogil
cdef void put_request_attribute(
    Writer* w, const uint8_t* name, Py_ssize_t name_len, const uint8_t* value, Py_ssize_t value_len
) noexcept nogil
cdef void end_forward_request(Writer* w) noexcept nogil
# Raise LocalProtocolError when the writer holds an error or more than max_packet_size bytes.
cdef int check_written(
    Writer* w, Py_ssize_t max_packet_size, str what, object headers
) except -1

# ValueError unless 8192-65536.
cdef int check_packet_size(Py_ssize_t size) except -1

# Headers of either direction. The name's code is returned, 0 when it is spelled out.
cdef int get_header_name(Reader* r, Slice* name, bint request, bint any_name) noexcept nogil
cdef void get_header_value(Reader* r, Slice* value) noexcept nogil


cdef inline object slice_bytes(Slice value):
    """A copy as bytes; None for AJP's null."""
    if value.ptr == NULL:
        return None
    return PyBytes_FromStringAndSize(<const char*>value.ptr, value.len)


# Request body: the six bytes in front of `length` bytes of data (1 .. max_packet_size - 6).
cdef inline void body_packet_header(uint8_t* p, Py_ssize_t length) noexcept nogil:
    p[0] = 0x12
    p[1] = 0x34
    p[2] = <uint8_t>(((length + 2) >> 8) & 0xFF)
    p[3] = <uint8_t>((length + 2) & 0xFF)
    p[4] = <uint8_t>((length >> 8) & 0xFF)
    p[5] = <uint8_t>(length & 0xFF)


# SEND_HEADERS up to its headers, which get_header_name and get_header_value read.
cdef Py_ssize_t get_response_line(
    Reader* r, int* status, Slice* reason, Py_ssize_t max_headers
) noexcept nogil


cdef class ResponseHead:
    """A decoded SEND_HEADERS whose headers still lie in the received bytes."""

    cdef readonly int status        # 100-999
    cdef bytes _owner               # keeps the slices alive
    cdef Slice _reason
    cdef Py_ssize_t _count          # headers
    cdef Reader _headers            # stands behind the header count
    cdef Reader _cursor

    # payload lies in owner; raises RemoteProtocolError unless all of it is valid
    cdef int load(
        self, bytes owner, Py_ssize_t start, Py_ssize_t length, Py_ssize_t max_headers
    ) except -1
    cdef void rewind(self) noexcept
    # next header, or False at the end; only on a loaded head
    cdef bint next(self, Slice* name, Slice* value) noexcept


# Bytes of data in a SEND_BODY_CHUNK payload of which at least 3 bytes are at p; -1 with `error` set.
cdef Py_ssize_t chunk_length(const uint8_t* p, Py_ssize_t payload_len, Reader* error) noexcept nogil
# Requested length of a whole GET_BODY_CHUNK payload; 0 with `error` set.
cdef Py_ssize_t get_body_length(
    const uint8_t* p, Py_ssize_t payload_len, Reader* error
) noexcept nogil
# 1 reuse, 0 close, -1 with `error` set; p is a whole END_RESPONSE payload.
cdef int end_response_reuse(const uint8_t* p, Py_ssize_t payload_len, Reader* error) noexcept nogil
