"""C types for `asyncnic.hot.transmit`, compiled under this name."""

cimport cython
from libc.stdint cimport uint16_t, uint32_t

cdef uint32_t _OWN, _ERR, _SEND, _BCNT_MASK, _STAMPS, _ACK
cdef Py_ssize_t _FOUR, _SIX, _UDP, _TCP, _STAMPED, BUFFER_SIZE, MIN_FRAME

cdef unsigned long _sum(bytes data) except? 0xFFFFFFFF

cdef class Template:
    cdef readonly bytes headers
    cdef readonly Py_ssize_t transport, most
    cdef unsigned long ip_sum, sum
    cdef uint16_t[::1] identifications

cdef class TransmitSlots:
    cdef object _view
    cdef unsigned char[::1] _octets
    cdef uint32_t[::1] _words, _lengths
    cdef uint32_t _bus
    cdef Py_ssize_t _ring, _buffers, _mask, _capacity, _head
    cdef public bint open, follows
    cdef public Py_ssize_t pending, unseen
    cdef readonly unsigned long long frames, octets_sent
    cdef public object tell, on_first

    cpdef kick(self)
    @cython.locals(at=Py_ssize_t, size=Py_ssize_t, length=Py_ssize_t, check=uint32_t)
    @cython.locals(frame="unsigned char *", payload="unsigned char *", total="unsigned long")
    cpdef bint put_datagram(self, Template template, bytes data) except -1
    @cython.locals(at=Py_ssize_t, length=Py_ssize_t, header=Py_ssize_t, piece=Py_ssize_t, put=Py_ssize_t, word=uint32_t)
    @cython.locals(frame="unsigned char *", tcp="unsigned char *", total="unsigned long")
    cpdef Py_ssize_t put_segments(
        self, Template template, uint32_t seq, uint32_t ack, uint32_t flags, uint32_t window, long stamp,
        uint32_t echo, bytes data, Py_ssize_t start, Py_ssize_t size, Py_ssize_t most,
    ) except -1
    @cython.locals(identification=uint32_t, total="unsigned long")
    cdef int _address(self, unsigned char *frame, Template template, Py_ssize_t length) except -1
    @cython.locals(index=Py_ssize_t, word=Py_ssize_t, reaped=Py_ssize_t)
    cpdef Py_ssize_t reap(self) except -1
    cdef bint _make_room(self) except -1
    @cython.locals(index=Py_ssize_t, at=Py_ssize_t, word=Py_ssize_t)
    cdef int _give(self, Py_ssize_t length) except -1

cdef class Way:
    cdef readonly object sender, peer
    cdef readonly Template template

cdef class Sender:
    cdef TransmitSlots _slots
    cdef dict _ways
    cdef object _slow, _held, _link
    cdef public bint closed

    cdef bint _goes(self, Way way, bytes data) except -1
