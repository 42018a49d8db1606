# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""TCP segments for the kernel put together, compiled: the twin of stacks/kernel/coalesce.py.

That says what it does and why; the same tests hold both. Here is only what makes it fast: C integers, and pointers into
the DMA memory. `asyncnic.hot` chooses between the twins; nothing else imports this.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t ntohs(uint16_t number)

cdef enum:
    TCP = 6
    ACK = 0x10
    PSH = 0x08
    MAX_PACKET = 65535
    MAX_SEGMENTS = 44


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
