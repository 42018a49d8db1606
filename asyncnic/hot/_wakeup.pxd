"""C types for `asyncnic.hot.wakeup`, compiled under this name."""

cimport cython

from asyncnic.hot._burst cimport Burst, check_taken, frames_taken
from asyncnic.hot._histogram cimport Histogram
from asyncnic.hot._queue cimport QueueReader
from asyncnic.hot._ring cimport ReceiveSlots
from asyncnic.hot._transmit cimport TransmitSlots

cdef tuple _NOTHING

cdef class ServedLane:
    cdef readonly object lane, driver
    cdef readonly QueueReader queue
    cdef readonly ReceiveSlots slots
    cdef public unsigned long long frames, octets

cdef class WakeUp:
    cdef readonly list lanes
    cdef readonly object knobs, clock
    cdef public Py_ssize_t current
    cdef readonly Burst burst
    cdef readonly Py_ssize_t count
    cdef public object take, show, otherwise, due, moderate, failed, heads, sources
    cdef public bint waits, inside
    cdef public Py_ssize_t found
    cdef public double wait
    cdef public unsigned long long bursts, budget_frames, budget_time, interrupts
    cdef readonly Histogram burst_frames, delivery_seconds
    cdef readonly dict watched
    cdef object _life, _new_turns, _weights, _turns, _budget
    cdef tuple _judged
    cdef TransmitSlots _transmit
    cdef bint _system_clock, _usual
    cdef double _start, _budget_start

    @cython.locals(each=ServedLane, begun=Py_ssize_t, before=Py_ssize_t)
    cpdef tick(self)
    cdef bint _answered(self, ServedLane served) except -1
    cdef _ready(self, ServedLane served)
    @cython.locals(frames=Py_ssize_t, burst=Burst, budget=Py_ssize_t)
    cpdef bint serve(self) except -1
    cpdef hand(self, take, Burst burst)
    @cython.locals(budget=Py_ssize_t, drains=bint, counted=double, index=Py_ssize_t, served=ServedLane, found=tuple)
    @cython.locals(lengths=list, now=double)
    cpdef Burst next_burst(self)
    @cython.locals(burst=Burst, count=Py_ssize_t, taken=Py_ssize_t, units=Py_ssize_t, served=ServedLane, now=double)
    cpdef hand_back_burst(self, bint unsaid_taken=*)
    cdef tuple _admitted(self, octets, list offsets, list lengths, double now)
    @cython.locals(units=Py_ssize_t)
    cdef Py_ssize_t _judged_until(self, tuple judged, ServedLane served, octets, Py_ssize_t taken) except -1
    cpdef bint poll(self, ServedLane served, Py_ssize_t limit) except -1
    @cython.locals(found=tuple)
    cdef tuple _collect(self, ServedLane served, Py_ssize_t limit)
    cdef double _now(self) except? -1.0
