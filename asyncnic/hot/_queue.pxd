"""C types for `asyncnic.hot.queue`, compiled under this name."""

cimport cython
from libc.stdint cimport uint64_t

from asyncnic.hot._reader cimport FrameReader

cdef Py_ssize_t PATIENCE

cdef class QueueReader:
    cdef object _chip, _unit, _core, _knobs, _observe, _broken
    cdef public object take
    cdef public Py_ssize_t trust
    cdef bint _counted, _calm, _silent, _through
    cdef uint64_t[::1] _words
    cdef Py_ssize_t _accepted, _left

    cpdef Py_ssize_t waiting(self) except? -1
    @cython.locals(taken=Py_ssize_t)
    cpdef Py_ssize_t poll(self, Py_ssize_t limit) except -1
    @cython.locals(taken=Py_ssize_t)
    cdef Py_ssize_t _drain(self, Py_ssize_t limit) except -1
    @cython.locals(reader=FrameReader, done=Py_ssize_t, want=Py_ssize_t, there=Py_ssize_t, got=Py_ssize_t)
    cdef Py_ssize_t _fill(self, Py_ssize_t limit) except -1
