"""C types for `asyncnic.hot.reader`, compiled under this name."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from asyncnic.hot.source cimport Source

cdef Py_ssize_t MIN_FRAME, FCS, _MAX_ROOM, _EAGAIN
cdef uint32_t _OWN, _MATCH
cdef long REJECTED, _RXON, _RINT, _SPND, _LOOP, _STRIPS
cdef Py_ssize_t _STATUS, _FEATURES, _EXTENDED, _MODE

cdef class FrameReader:
    cdef readonly Py_ssize_t slots
    cdef object _core, _memory, _accept, _take
    cdef unsigned char[::1] _octets
    cdef uint32_t[::1] _words, _armed, _counts, _finished, _starts, _sizes
    cdef bint _takes_own
    cdef uint64_t _own, _mask
    cdef Py_ssize_t _room, _message, _unlearnt
    cdef int _fd
    cdef Source *_source
    cdef list _odd
    cdef public bint silent
    cdef readonly Py_ssize_t filtered, size

    cpdef Py_ssize_t armed(self, Py_ssize_t slot, Py_ssize_t end) except -1
    @cython.locals(csr=list)
    cpdef bint receiving(self) except -1
    @cython.locals(done=Py_ssize_t, length=Py_ssize_t, first=Py_ssize_t, end=Py_ssize_t, slot=Py_ssize_t, stored=Py_ssize_t)
    cpdef Py_ssize_t fill(self, take, Py_ssize_t limit) except -1
    @cython.locals(slot=Py_ssize_t, filtered=Py_ssize_t, start=Py_ssize_t, size=Py_ssize_t, head=uint64_t, flags=long)
    cpdef Py_ssize_t read(self, take, Py_ssize_t first, Py_ssize_t end, Py_ssize_t limit) except -1
    @cython.locals(pointer="void *")
    cdef int _find(self, take) except -1
    @cython.locals(slot=Py_ssize_t)
    cdef int _give_back(self, Py_ssize_t first, Py_ssize_t end) except -1
