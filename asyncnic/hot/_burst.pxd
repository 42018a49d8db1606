"""C types for `asyncnic.hot.burst`, compiled under this name."""

cdef class Burst:
    cdef public object memory, clock, offsets, lengths, deadline, ends, paused
    cdef public bint said
    cdef object _taken

cpdef Py_ssize_t frames_taken(burst, Py_ssize_t count, Py_ssize_t unsaid=*) except -1
cpdef check_taken(burst, Py_ssize_t count)
