"""C types for `asyncnic.hot.heads`, compiled under this name."""

cimport cython
from libc.stdint cimport uint64_t

cdef Py_ssize_t HEAD
cdef uint64_t _LANE, _END, _SIXTEEN

cdef class HeadRing:
    cdef unsigned char[::1] _octets
    cdef uint64_t[::1] _times, _facts
    cdef Py_ssize_t _size
    cdef list _ends
    cdef dict _numbers
    cdef readonly Py_ssize_t total

    @cython.locals(octets="const unsigned char[::1]", room=Py_ssize_t, first=Py_ssize_t, slot=Py_ssize_t)
    @cython.locals(place=Py_ssize_t, at=Py_ssize_t, length=Py_ssize_t, kept=Py_ssize_t)
    cpdef record(
        self,
        memory,
        offsets,
        lengths,
        Py_ssize_t count,
        uint64_t time_ns,
        uint64_t lane,
        ends,
    )
    cdef uint64_t _number(self, end) except? 0xFFFFFFFF
    @cython.locals(made=HeadRing)
    cpdef HeadRing copy(self)
