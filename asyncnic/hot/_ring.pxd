"""C types for `asyncnic.hot.ring`, compiled under this name."""

cimport cython
from libc.stdint cimport uint32_t

cdef uint32_t _OWN, _FRAME, _WHOLE, _MCNT_MASK
cdef Py_ssize_t _LEAST, _FCS

cdef class ReceiveSlots:
    cdef uint32_t[::1] _words
    cdef list _offsets
    cdef uint32_t _armed
    cdef Py_ssize_t _most
    cdef readonly Py_ssize_t size
    cdef public Py_ssize_t head, span
    cdef public unsigned long long seen

    @cython.locals(word=Py_ssize_t)
    cpdef bint stands(self) except -1
    @cython.locals(first=Py_ssize_t, index=Py_ssize_t, end=Py_ssize_t, length=Py_ssize_t, lengths=list)
    cpdef tuple collect(self, Py_ssize_t limit)
    cpdef leave(self, Py_ssize_t taken)
    @cython.locals(first=Py_ssize_t, index=Py_ssize_t, end=Py_ssize_t)
    cpdef hand_back(self, Py_ssize_t descriptors)
