"""C types for `asyncnic.hot.wire`, compiled under this name."""

cimport cython
from libc.stdint cimport uint32_t

from asyncnic.hot.primitives cimport FrameBatch

cdef uint32_t _OWN, _OWN_STP_ENP, _BCNT_MASK
cdef Py_ssize_t _LEAST, _MOST
cdef long _STATUS, _FEATURES, _EXTENDED, _MODE, _TXON, _TINT, _TXSTRT, _SPND, _LTINTEN, _TOKINTD, _LOOP

cdef class FrameWriter:
    cdef unsigned char[::1] _octets
    cdef uint32_t[::1] _words
    cdef uint32_t _bus
    cdef Py_ssize_t _ring
    cdef FrameBatch _batch
    cdef readonly bint stopped

    @cython.locals(fd=int, room=Py_ssize_t, word=Py_ssize_t, status=uint32_t, length=Py_ssize_t, start=Py_ssize_t,
                   gathers=bint, unsent=Py_ssize_t)
    cpdef Py_ssize_t write(self, file, Py_ssize_t first, Py_ssize_t end) except -1

    @cython.locals(place=Py_ssize_t, word=Py_ssize_t, sent=Py_ssize_t)
    cdef Py_ssize_t _send(self, int fd, Py_ssize_t first, Py_ssize_t end) except -1

cdef class UsualFrames:
    cdef object _core
    cdef public FrameWriter writer
    cdef public object file
    cdef public bint busy

    @cython.locals(csr=list, writer=FrameWriter, sent=Py_ssize_t, length=Py_ssize_t, count=Py_ssize_t, first=Py_ssize_t,
                   done=Py_ssize_t)
    cpdef bint burst(self) except -1

cdef class Doorbell:
    cdef object _core, _slow
    cdef UsualFrames _usual
