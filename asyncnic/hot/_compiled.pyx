# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What every frame passes, compiled: off the wire, along the ring, known UDP flows, TCP segments for the kernel.

Each is the twin of a plain Python one (pcnet32/direct_reader.py, receive_ring.py and descriptors.py, stacks/inet/fast.py,
stacks/kernel/coalesce.py), which says what it does and why; the same tests hold both. Here is only what makes them fast: C
integers, pointers into the DMA memory, read(2) without an object. `asyncnic.hot` chooses between the twins; nothing
else imports this.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from asyncnic.hot.source cimport Source

import io
import os
import time
from array import array

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec *moment)

cdef extern from "<sys/syscall.h>" nogil:
    int SYS_read

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, int fd, void *octets, size_t size)

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t ntohs(uint16_t number)

cdef enum:
    MIN_FRAME = 60
    FCS = 4
    MAX_ROOM = 4092
    HEADERS = 42
    TAG = 4
    UDP = 17
    TCP = 6
    ACK = 0x10
    PSH = 0x08
    MAX_PACKET = 65535
    MAX_SEGMENTS = 44
    REJECTED = -1
    MCNT_MASK = 0xFFF

cdef const uint32_t FRAME = 0xC3000000  # OWN, ERR, STP, ENP
cdef const uint32_t WHOLE = 0x03000000  # STP, ENP


cdef class DirectReader:
    """See `asyncnic.pcnet32.model.direct_reader.DirectReader`."""

    cdef object _accept, _memory
    cdef uint32_t[::1] _starts, _sizes, _counts
    cdef uint64_t _own, _mask
    cdef bint _takes_own
    cdef Py_ssize_t _room
    cdef readonly object counts
    cdef readonly Py_ssize_t filtered, size
    cdef readonly bint silent
    cdef readonly list odd

    def __cinit__(self, memory, Py_ssize_t slots, accept):
        self._memory = memory
        self._accept = accept
        self._takes_own = accept.own >= 0  # -1: a filter that refuses its own address
        self._own = accept.own if self._takes_own else 0
        self._mask = accept.own_mask
        self._room = MAX_ROOM
        self.counts = memoryview(array("I", bytes(4 * slots)))
        if slots:
            self._counts = self.counts
            self._starts = array("I", bytes(4 * slots))
            self._sizes = array("I", bytes(4 * slots))

    def learn(self, Py_ssize_t slot, Py_ssize_t start, Py_ssize_t size):
        """See the plain twin."""
        self._starts[slot] = start
        self._sizes[slot] = size
        self._room = min(self._room, size - FCS)

    def view(self, Py_ssize_t slot):
        """See the plain twin."""
        return self._memory.octets[self._starts[slot] : self._starts[slot] + self._sizes[slot]]

    def read(self, take, Py_ssize_t first, Py_ssize_t end, Py_ssize_t limit):
        """See the plain twin. Where `take` is a file's own `readinto`, it is read(2) on that file; where it belongs to an
        object that has a C function too (`c_source`), that is called.
        """
        cdef Py_ssize_t slot = first, size, filtered = 0
        cdef uint8_t *frame
        cdef uint64_t head
        cdef int fd = -1, flags
        cdef list odd = []
        cdef Py_buffer memory
        cdef Source *source = NULL
        owner = getattr(take, "__self__", None)
        if type(owner) is io.FileIO:
            fd = owner.fileno()
        else:
            capsule = getattr(owner, "c_source", None)
            if capsule is not None:
                source = <Source *>PyCapsule_GetPointer(capsule, "asyncnic.source")
        self.silent = False
        self.size = 0
        PyObject_GetBuffer(self._memory.octets, &memory, PyBUF_WRITABLE)
        try:
            while limit > 0:
                limit -= 1
                frame = <uint8_t *>memory.buf + self._starts[slot]
                if source is not NULL:
                    size = source.take(source.owner, frame, self._sizes[slot])
                elif fd >= 0:
                    # Not libc's read(2): that is a cancellation point, and costs more wherever there ever was a thread.
                    size = syscall(SYS_read, fd, frame, self._sizes[slot])
                    if size < 0:
                        if errno == EINTR:
                            limit += 1
                            continue
                        if errno != EAGAIN and slot == first and not filtered:
                            raise OSError(errno, os.strerror(errno))
                        size = 0
                else:
                    try:
                        size = take(self.view(slot)) or 0
                    except OSError:
                        if slot == first and not filtered:
                            raise
                        size = 0
                if size < MIN_FRAME:
                    if not size:
                        self.silent = True
                        break
                    memset(frame + size, 0, MIN_FRAME - size)
                    size = MIN_FRAME
                elif size > self._room:
                    self.size = size
                    break
                memcpy(&head, frame, 8)
                if head & self._mask != self._own or not self._takes_own:
                    flags = self._accept.match(self.view(slot))
                    if flags == REJECTED:
                        filtered += 1
                        continue
                    odd.append((slot, flags))
                self._counts[slot] = <uint32_t>(size + FCS)
                slot += 1
                if slot == end:
                    break
        finally:
            PyBuffer_Release(&memory)
        self.filtered = filtered
        self.odd = odd
        return slot


def whole_frames(words, Py_ssize_t first, Py_ssize_t end, Py_ssize_t most):
    """See `asyncnic.pcnet32.driver.receive_ring.whole_frames`."""
    cdef list lengths = []
    cdef const volatile uint32_t *word
    cdef Py_ssize_t length
    cdef Py_buffer ring
    PyObject_GetBuffer(words, &ring, PyBUF_SIMPLE)
    word = <const uint32_t *>ring.buf + 4 * first
    while first < end and word[1] & FRAME == WHOLE:
        length = <Py_ssize_t>(word[2] & MCNT_MASK) - FCS
        if not MIN_FRAME <= length <= most:
            break
        lengths.append(length)
        first += 1
        word += 4
    PyBuffer_Release(&ring)
    return lengths


def hand_over(ring, Py_ssize_t first, Py_ssize_t end, Py_ssize_t message, counts, statuses):
    """See `asyncnic.pcnet32.descriptors.hand_over`."""
    cdef Py_buffer words, messages, states
    cdef volatile uint32_t *descriptor
    cdef const uint32_t *value
    cdef Py_ssize_t index, count = end - first
    PyObject_GetBuffer(ring, &words, PyBUF_WRITABLE)
    PyObject_GetBuffer(counts, &messages, PyBUF_SIMPLE)
    PyObject_GetBuffer(statuses, &states, PyBUF_SIMPLE)
    descriptor = <volatile uint32_t *>words.buf + 4 * first
    value = <const uint32_t *>messages.buf
    for index in range(count):
        descriptor[4 * index + message] = value[index]
    value = <const uint32_t *>states.buf
    for index in range(count):
        descriptor[4 * index + 1] = value[index]
    PyBuffer_Release(&states)
    PyBuffer_Release(&messages)
    PyBuffer_Release(&words)


cdef inline double _monotonic() noexcept nogil:
    """The clock behind time.monotonic, in the same seconds."""
    cdef timespec moment
    clock_gettime(CLOCK_MONOTONIC, &moment)
    return moment.tv_sec + moment.tv_nsec * 1e-9


cdef inline uint16_t _half(const uint8_t *octets) noexcept nogil:
    """Two octets as they lie in memory; sums in one's complement do not mind their order (RFC 1071 section 2 B)."""
    cdef uint16_t value
    memcpy(&value, octets, 2)
    return value


cdef inline uint32_t _sum(const uint8_t *octets, Py_ssize_t length) noexcept nogil:
    """One's complement sum of `length` octets, folded to 16 bits; an odd last octet counts as if a zero followed."""
    cdef uint64_t total = 0
    cdef uint32_t word
    cdef uint16_t half
    while length >= 4:
        memcpy(&word, octets, 4)
        total += word
        octets += 4
        length -= 4
    if length >= 2:
        total += _half(octets)
        octets += 2
        length -= 2
    if length:
        half = 0
        memcpy(&half, octets, 1)
        total += half
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return <uint32_t>total


def udp_burst(burst, bytes mac, dict flows):
    """See `asyncnic.stacks.inet.fast.udp_burst`."""
    cdef list offsets = burst.offsets
    cdef list lengths = burst.lengths
    cdef Py_ssize_t taken = burst.taken
    cdef Py_ssize_t count = len(offsets)
    cdef double deadline = burst.deadline
    cdef object clock = burst.clock
    cdef bint system_clock = clock is time.monotonic
    cdef const uint8_t *station = mac
    cdef const uint8_t *frame
    cdef Py_ssize_t length, total, size
    cdef uint32_t sum_
    # Addresses and ports of `flow`. They name it as long as `flows` has as many as then: within a burst it loses flows
    # only all at once, and gains none.
    cdef uint8_t last[36]
    cdef Py_ssize_t key, last_key = 0, known = -1
    cdef const uint8_t *lead  # where addresses, ports, UDP length and checksum, and payload lie
    cdef tuple flow = ()
    cdef Py_buffer memory
    PyObject_GetBuffer(burst.memory, &memory, PyBUF_SIMPLE)
    try:
        while taken < count:
            frame = <const uint8_t *>memory.buf + <Py_ssize_t>offsets[taken]
            length = lengths[taken]
            if length < HEADERS or memcmp(frame, station, 6):
                return True
            if frame[12] == 0x81 and not frame[13] and length >= HEADERS + TAG:
                frame += TAG
                length -= TAG
            # EtherType 0800, version 4 and 5 words of header, no fragment ("don't fragment" may be set), protocol 17.
            if frame[12] == 8 and not frame[13]:
                if frame[14] != 0x45 or frame[20] & 0xBF or frame[21] or frame[23] != UDP:
                    return True
                if _sum(frame + 14, 20) != 0xFFFF:
                    return True
                lead, key = frame + 26, 12
                total = <Py_ssize_t>ntohs(_half(frame + 16)) - 20
                if total + 34 > length:
                    return True
            # EtherType 86dd, version 6, next header 17.
            elif frame[12] == 0x86 and frame[13] == 0xDD and frame[14] >> 4 == 6 and frame[20] == UDP:
                lead, key = frame + 22, 36
                total = ntohs(_half(frame + 18))
                if total + 54 > length or total < 8 or not _half(lead + 38):
                    return True
            else:
                return True
            size = ntohs(_half(lead + key))
            if size != total or size < 8:
                return True
            if known != len(flows) or key != last_key or memcmp(lead, last, key):
                found = flows.get(PyBytes_FromStringAndSize(<const char *>lead, key))
                if found is None:
                    return True
                flow = found
                memcpy(last, lead, key)
                last_key = key
                known = len(flows)
            if _half(lead + key + 2):
                # Addresses, UDP header and payload are contiguous; the rest of the pseudo header is protocol and size.
                sum_ = _sum(lead, key - 4 + size) + ntohs(<uint16_t>UDP) + _half(lead + key)
                while sum_ >> 16:
                    sum_ = (sum_ & 0xFFFF) + (sum_ >> 16)
                if sum_ != 0xFFFF:
                    return True
            taken += 1
            flow[0](PyBytes_FromStringAndSize(<const char *>lead + key + 4, size - 8), flow[1])
            if (_monotonic() if system_clock else <double>clock()) >= deadline:
                return False
        return False
    finally:
        burst.taken = taken
        PyBuffer_Release(&memory)


cdef struct Segment:
    uint32_t sequence
    uint64_t claimed  # one's complement sum of pseudo header and TCP header
    Py_ssize_t size, payload


cdef class Coalescer:
    """See `asyncnic.stacks.kernel.coalesce.Coalescer`."""

    cdef set _own

    def __init__(self, addresses):
        self._own = {address.packed for address in addresses if address.version == 4}

    def run(self, memory, list offsets, list lengths, Py_ssize_t first):
        """See the plain twin."""
        cdef Py_ssize_t start = offsets[first], length = lengths[first], count = len(offsets)
        cdef Py_ssize_t index = first + 1, total
        cdef Segment head, segment
        cdef const uint8_t *lead
        cdef const uint8_t *frame
        cdef const uint8_t *last
        cdef uint64_t claimed
        cdef list pieces
        cdef Py_buffer buffer
        alone = memory[start : start + length]
        if index >= count:
            return 1, [alone]
        PyObject_GetBuffer(memory, &buffer, PyBUF_SIMPLE)
        try:
            lead = last = <const uint8_t *>buffer.buf + start
            if not _segment(lead, length, &head):
                return 1, [alone]
            if PyBytes_FromStringAndSize(<const char *>lead + 30, 4) not in self._own:
                return 1, [alone]
            pieces = [None, memory[start + head.size : start + head.size + head.payload]]
            total = head.payload
            claimed = head.claimed
            while index < count and index - first < MAX_SEGMENTS:
                start = offsets[index]
                frame = <const uint8_t *>buffer.buf + start
                if total & 1 or last[47] & PSH or not _segment(frame, lengths[index], &segment):
                    break
                if segment.sequence != <uint32_t>(head.sequence + total) or not _same(lead, frame, &head, &segment):
                    break
                if head.size - 14 + total + segment.payload > MAX_PACKET:
                    break
                pieces.append(memory[start + segment.size : start + segment.size + segment.payload])
                claimed += segment.claimed
                total += segment.payload
                last = frame
                index += 1
            if index == first + 1:
                return 1, [alone]
            pieces[0] = _headers(lead, head.size, total, last[47], claimed)
            return index - first, pieces
        finally:
            PyBuffer_Release(&buffer)


cdef bint _segment(const uint8_t *frame, Py_ssize_t length, Segment *segment) noexcept nogil:
    """Take a frame apart; False where it is no TCP segment with data that may be put together with others."""
    cdef Py_ssize_t total, size, payload
    if length < 54 or frame[12] != 8 or frame[13] or frame[14] != 0x45 or frame[23] != TCP:
        return False
    if frame[20] & 0xBF or frame[21] or frame[47] & ~PSH != ACK:
        return False
    total = ntohs(_half(frame + 16))
    size = 34 + (frame[46] >> 4) * 4
    payload = 14 + total - size
    if size < 54 or payload <= 0 or 14 + total > length or _sum(frame + 14, 20) != 0xFFFF:
        return False
    segment.sequence = (<uint32_t>frame[38] << 24) | (<uint32_t>frame[39] << 16) | (<uint32_t>frame[40] << 8) | frame[41]
    segment.size = size
    segment.payload = payload
    segment.claimed = _pseudo(frame, size, payload) + _sum(frame + 34, size - 34)
    return True


cdef inline uint64_t _pseudo(const uint8_t *frame, Py_ssize_t size, Py_ssize_t payload) noexcept nogil:
    """Sum of TCP's pseudo header, in the order of halves as they lie in memory."""
    return _sum(frame + 26, 8) + ntohs(<uint16_t>TCP) + ntohs(<uint16_t>(size - 34 + payload))


cdef bint _same(const uint8_t *lead, const uint8_t *frame, Segment *head, Segment *segment) noexcept nogil:
    """Whether two segments differ only in sequence number, length, checksum, identification and PSH."""
    if segment.size != head.size or memcmp(lead, frame, 12) or lead[15] != frame[15] or lead[22] != frame[22]:
        return False
    if memcmp(lead + 26, frame + 26, 12) or memcmp(lead + 42, frame + 42, 5) or memcmp(lead + 48, frame + 48, 2):
        return False
    return memcmp(lead + 52, frame + 52, head.size - 52) == 0


cdef bytes _headers(const uint8_t *lead, Py_ssize_t size, Py_ssize_t total, uint8_t flags, uint64_t claimed):
    """The run's headers: lengths of the whole, the last segment's flags, and checksums that fit."""
    cdef bytes made = PyBytes_FromStringAndSize(<const char *>lead, size)
    cdef uint8_t *header = <uint8_t *><char *>made  # nobody else has it yet
    cdef uint64_t others
    cdef uint16_t check
    header[16] = (size - 14 + total) >> 8
    header[17] = (size - 14 + total) & 0xFF
    memset(header + 24, 0, 2)
    check = (0xFFFF - _sum(header + 14, 20) % 0xFFFF) % 0xFFFF
    memcpy(header + 24, &check, 2)
    header[47] = flags
    memset(header + 50, 0, 2)
    others = _pseudo(header, size, total) + _sum(header + 34, size - 34)
    check = (claimed % 0xFFFF + 0xFFFF - others % 0xFFFF) % 0xFFFF
    memcpy(header + 50, &check, 2)
    return made
