"""C types for `asyncnic.hot.segments`, compiled under this name."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

cdef Py_ssize_t MOST
cdef uint32_t _IPV4, _IPV6, _TAGGED, _PROTOCOL, _MASK, _HALF, _STAMPS, _WITH_STAMPS, _WITHOUT, _PUSH

cdef uint32_t _half(const unsigned char *frame, Py_ssize_t at) noexcept
cdef uint32_t _word(const unsigned char *frame, Py_ssize_t at) noexcept
cdef bint _sound(const unsigned char *frame, Py_ssize_t first, Py_ssize_t end, Py_ssize_t more) noexcept

cdef class SegmentReader:
    cdef uint32_t _mac_high, _mac_low, _next, _una, _recent, _echo, _window
    cdef object _expect, _took, _connection
    cdef dict _connections
    cdef uint64_t[::1] _pieces
    cdef bytes _key
    cdef Py_ssize_t _key_size, _room, _flight, _segments, _count, _size, _acknowledged
    cdef bint _stamped

    @cython.locals(octets="const unsigned char[::1]", offsets=list, lengths=list, taken=Py_ssize_t, count=Py_ssize_t)
    @cython.locals(start=Py_ssize_t, length=Py_ssize_t, deadline=double, now=double, more=bint, in_time=bint)
    @cython.locals(frame="const unsigned char *")
    cpdef bint read(self, burst) except -1
    @cython.locals(base=Py_ssize_t, kind=uint32_t, lead=Py_ssize_t, transport=Py_ssize_t, end=Py_ssize_t)
    @cython.locals(payload=Py_ssize_t, size=Py_ssize_t, word=uint32_t, stamp=uint32_t, echo=uint32_t, news=uint32_t)
    @cython.locals(window=uint32_t)
    cdef bint _take(self, const unsigned char *frame, Py_ssize_t start, Py_ssize_t length) except -1
    @cython.locals(same=bint, key=bytes)
    cdef bint _known(self, const unsigned char *frame, Py_ssize_t lead, Py_ssize_t size) except -1
    cdef bint _end(self, const unsigned char[::1] octets, double now) except -1
    @cython.locals(data=bytes, to="char *", index=Py_ssize_t)
    cdef bytes _gathered(self, const unsigned char[::1] octets)
