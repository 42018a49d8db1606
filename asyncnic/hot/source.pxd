"""What compiled code asks of a wire that gives frames by a C function: a capsule called "asyncnic.source" has a `Source`.

`take` fills `frame` (`room` octets) with one frame and returns its octets, 0 when there is none; it needs no GIL.
"""

from libc.stdint cimport uint8_t

ctypedef Py_ssize_t (*Take)(void *owner, uint8_t *frame, Py_ssize_t room) noexcept nogil

cdef struct Source:
    Take take
    void *owner
