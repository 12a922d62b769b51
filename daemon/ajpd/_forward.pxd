"""A client's request head as a FORWARD_REQUEST."""

from ajpd._service cimport ClientSide, Target
from ajpd.http._request cimport RequestHead


# Raises LocalProtocolError; `uri` is what normalisation made of the path.
cdef bytes forward_request(RequestHead head, bytes uri, Target target, ClientSide client)
