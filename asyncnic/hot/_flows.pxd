"""C types for `asyncnic.hot.flows`, compiled under this name."""

cimport cython
from libc.stdint cimport uint32_t

cdef Py_ssize_t _LEAST, _TAG
cdef uint32_t _IPV4, _IPV6, _TAGGED

@cython.locals(frame="const unsigned char *", kind=uint32_t, size=Py_ssize_t)
cdef Py_ssize_t _datagram(const unsigned char *octets, Py_ssize_t start, Py_ssize_t length, const unsigned char *mac) except -2

@cython.locals(place="const unsigned char *")
cdef bint _sound(const unsigned char *octets, Py_ssize_t lead, Py_ssize_t key, Py_ssize_t size) except -1

@cython.locals(offsets=list, lengths=list, taken=Py_ssize_t, count=Py_ssize_t, deadline=double, system_clock=bint)
@cython.locals(known=Py_ssize_t, last=Py_ssize_t, last_key=Py_ssize_t, place=Py_ssize_t, lead=Py_ssize_t)
@cython.locals(key=Py_ssize_t, size=Py_ssize_t, octets="unsigned char *")
cpdef bint udp_burst(burst, bytes mac, dict flows) except -1

cdef class DatagramInput:
    cdef bytes _mac
    cdef dict _flows
    cdef list _counts
    cdef Py_ssize_t _delivered
    cdef object _slow, _raised, _flush
    cdef dict _due
