# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The kernel's packet ring, compiled: frames out of its slots, straight into a descriptor's buffer.

The twin of devices/packet/ring.py, which says what it does and why; the same tests hold both. Whoever reads many frames
asks for `c_source` and calls the function that it names, without a Python object between two frames.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from asyncnic.hot.source cimport Source

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT, MSG_TRUNC
    ssize_t recv(int fd, void *octets, size_t size, int flags)

cdef extern from * nogil:
    """
    #define asyncnic_acquire(word) __atomic_load_n(word, __ATOMIC_ACQUIRE)
    #define asyncnic_release(word, value) __atomic_store_n(word, value, __ATOMIC_RELEASE)
    """
    uint32_t asyncnic_acquire(uint32_t *word)
    void asyncnic_release(uint32_t *word, uint32_t value)

cdef enum:
    USER = 0x01
    COPY = 0x02
    VLAN = 0x10
    VLAN_TYPE = 0x40
    VNET = 10
    NEEDS_CHECKSUM = 1
    ASIDE = 65536 + 64
    HEADERS = 14 + 4 + 60 + 60 + 8
    TCP = 6
    UDP = 17
    WHOLE = 0
    SEGMENTS = 1
    DATAGRAMS = 2
    FRAGMENTS4 = 3
    FRAGMENTS6 = 4
    GSO_UDP_L4 = 5
    FIN_PSH = 0x09
    CWR = 0x80

cdef struct Cut:
    int kind, version
    Py_ssize_t ip, transport, headers, payload, chunk, done, index
    uint8_t *data
    uint8_t head[HEADERS]


cdef class PacketRing:
    """See `asyncnic.devices.packet.ring.PacketRing`."""

    cdef Py_buffer _buffer
    cdef uint8_t *_base
    cdef uint8_t *_aside
    cdef Py_ssize_t _slot_size, _slots, _head, _longest
    cdef int _fd
    cdef uint16_t _identification
    cdef Cut _cut
    cdef Source _source
    cdef readonly Py_ssize_t slots_read, extra
    cdef readonly object c_source

    def __cinit__(self, mapped, Py_ssize_t slot_size, Py_ssize_t slots, int fd, Py_ssize_t longest):
        self._aside = <uint8_t *>malloc(ASIDE)
        if not self._aside:
            raise MemoryError
        PyObject_GetBuffer(mapped, &self._buffer, PyBUF_WRITABLE)
        self._base = <uint8_t *>self._buffer.buf
        self._slot_size, self._slots, self._fd, self._longest = slot_size, slots, fd, longest
        self._cut.kind = WHOLE
        self._source.take = _take
        self._source.owner = <void *>self
        self.c_source = PyCapsule_New(&self._source, "asyncnic.source", NULL)

    def close(self):
        """See the plain twin."""
        if self._base:
            self._base = NULL
            self._cut.kind = WHOLE
            PyBuffer_Release(&self._buffer)

    def __dealloc__(self):
        if self._base:
            PyBuffer_Release(&self._buffer)
        free(self._aside)

    @property
    def cutting(self):
        """See the plain twin."""
        return self._cut.kind != WHOLE

    def waiting(self):
        """See the plain twin."""
        cdef Py_ssize_t count = 0, slot = self._head
        if not self._base:
            return 0
        while count < self._slots and asyncnic_acquire(<uint32_t *>(self._base + slot * self._slot_size)) & USER:
            count += 1
            slot += 1
            if slot == self._slots:
                slot = 0
        return count

    def readinto(self, view):
        """See the plain twin."""
        cdef Py_buffer target
        cdef Py_ssize_t size
        PyObject_GetBuffer(view, &target, PyBUF_WRITABLE)
        try:
            if target.len < self._longest:
                raise ValueError(f"a buffer of {target.len} octets: frames have up to {self._longest}")
            size = self.next(<uint8_t *>target.buf, target.len)
        finally:
            PyBuffer_Release(&target)
        return size

    cdef Py_ssize_t next(self, uint8_t *frame, Py_ssize_t room) noexcept nogil:
        cdef uint8_t *slot
        cdef uint8_t *data
        cdef uint8_t *virtio
        cdef uint32_t status
        cdef Py_ssize_t length, captured, size, tag, got
        if not self._base:
            return 0
        if self._cut.kind != WHOLE:
            return self._piece(frame)
        slot = self._base + self._head * self._slot_size
        status = asyncnic_acquire(<uint32_t *>slot)
        if not status & USER:
            return 0
        length = (<uint32_t *>slot)[1]
        captured = (<uint32_t *>slot)[2]
        data = slot + (<uint16_t *>slot)[6]
        virtio = data - VNET
        if status & COPY:
            got = recv(self._fd, self._aside, ASIDE, MSG_DONTWAIT | MSG_TRUNC)
            if got >= VNET and got - VNET == length:
                virtio = self._aside
                data = virtio + VNET
                captured = length if got <= ASIDE else ASIDE - VNET
        tag = 4 if status & VLAN and captured >= 14 else 0
        if captured == length:
            if self._begin(data, length, virtio, slot if tag else NULL, status):
                self._cut.index = 0
                return self._piece(frame)
            if virtio[0] & NEEDS_CHECKSUM:
                _complete(data, length, (<uint16_t *>(virtio + 6))[0], (<uint16_t *>(virtio + 8))[0])
        size = min(captured + tag, room)
        if tag:
            memcpy(frame, data, 12)
            _put_tag(frame, slot, status)
            memcpy(frame + 16, data + 12, size - 16)
        else:
            memcpy(frame, data, size)
        if captured < length:  # its end is lost: never shorter than it was, so that nobody takes it for whole
            captured = min(length + tag, room)
            memset(frame + size, 0, captured - size)
            size = captured
        self._release()
        return size

    cdef void _release(self) noexcept nogil:
        asyncnic_release(<uint32_t *>(self._base + self._head * self._slot_size), 0)
        self._head += 1
        if self._head == self._slots:
            self._head = 0
        self.slots_read += 1

    cdef bint _begin(self, uint8_t *data, Py_ssize_t length, uint8_t *virtio, uint8_t *tagged, uint32_t status) noexcept nogil:
        """Prepare to cut a frame. False: it need not be, or cannot."""
        cdef Cut *cut = &self._cut
        cdef int gso = virtio[1] & 0x7F
        cdef Py_ssize_t shift = 4 if tagged else 0, ip = 14, transport, chunk = (<uint16_t *>(virtio + 4))[0]
        cdef uint8_t protocol
        if not gso and length + shift <= self._longest or length < 34:
            return False
        if data[12] == 0x81 and data[13] == 0:
            ip = 18
        if data[ip - 2] == 0x08 and data[ip - 1] == 0 and data[ip] >> 4 == 4:
            cut.version = 4
            transport = ip + (data[ip] & 15) * 4
            protocol = data[ip + 9]
            if transport < ip + 20:
                return False
        elif data[ip - 2] == 0x86 and data[ip - 1] == 0xDD and length >= ip + 40:
            cut.version = 6
            transport = ip + 40
            protocol = data[ip + 6]
        else:
            return False
        if transport + 8 > length:
            return False
        if gso == GSO_UDP_L4:
            if protocol != UDP:
                return False
            cut.kind = DATAGRAMS
            cut.headers = transport + 8
        elif protocol == TCP and (cut.version == 6 or not (data[ip + 6] & 0x3F or data[ip + 7])):
            if transport + 20 > length or transport + (data[transport + 12] >> 4) * 4 > length:
                return False
            cut.kind = SEGMENTS
            cut.headers = transport + (data[transport + 12] >> 4) * 4
            if not gso or cut.headers + shift + chunk > self._longest:
                chunk = self._longest - shift - cut.headers
        else:
            if virtio[0] & NEEDS_CHECKSUM:
                _complete(data, length, (<uint16_t *>(virtio + 6))[0], (<uint16_t *>(virtio + 8))[0])
                virtio[0] = 0
            cut.headers = transport
            if cut.version == 4:
                cut.kind = FRAGMENTS4
                chunk = (self._longest - shift - transport) & ~7
            else:
                if protocol in (0, 43, 44, 60):
                    cut.kind = WHOLE
                    return False
                cut.kind = FRAGMENTS6
                chunk = (self._longest - shift - transport - 8) & ~7
        if chunk <= 0 or cut.headers >= length or cut.headers + shift + chunk > self._longest or cut.headers > HEADERS - 12:
            cut.kind = WHOLE
            return False
        cut.payload = length - cut.headers
        cut.data = data + cut.headers
        cut.chunk = chunk
        cut.done = 0
        cut.ip = ip + shift
        cut.transport = transport + shift
        if shift:
            memcpy(cut.head, data, 12)
            _put_tag(cut.head, tagged, status)
            memcpy(cut.head + 16, data + 12, cut.headers - 12)
        else:
            memcpy(cut.head, data, cut.headers)
        cut.headers += shift
        if cut.kind == FRAGMENTS6:
            memset(cut.head + cut.headers, 0, 8)
            cut.head[cut.headers] = cut.head[cut.ip + 6]
            cut.head[cut.ip + 6] = 44
            cut.headers += 8
        if cut.kind == FRAGMENTS6 or cut.kind == FRAGMENTS4 and cut.head[cut.ip + 6] & 0x40:
            self._identification += 1
            if cut.kind == FRAGMENTS6:
                _put_half(cut.head + cut.headers - 2, self._identification)
            else:
                _put_half(cut.head + cut.ip + 4, self._identification)
                cut.head[cut.ip + 6] &= ~0x40
        return True

    cdef Py_ssize_t _piece(self, uint8_t *frame) noexcept nogil:
        """The next piece of the frame that is being cut, at most `longest` octets; the last one releases its slot."""
        cdef Cut *cut = &self._cut
        cdef Py_ssize_t part = min(cut.chunk, cut.payload - cut.done), headers = cut.headers
        cdef bint last = cut.done + part == cut.payload
        cdef uint8_t *ip = frame + cut.ip
        cdef uint8_t *transport = frame + cut.transport
        cdef Py_ssize_t size = headers + part
        cdef uint32_t sequence, position
        memcpy(frame, cut.head, headers)
        memcpy(frame + headers, cut.data + cut.done, part)
        if cut.version == 4:
            _put_half(ip + 2, <uint16_t>(size - cut.ip))
        else:
            _put_half(ip + 4, <uint16_t>(size - cut.ip - 40))
        if cut.kind == SEGMENTS:
            sequence = _half(transport + 4) << 16 | _half(transport + 6)
            sequence += <uint32_t>cut.done
            _put_half(transport + 4, <uint16_t>(sequence >> 16))
            _put_half(transport + 6, <uint16_t>sequence)
            if not last:
                transport[13] &= <uint8_t>~FIN_PSH
            if cut.index:
                transport[13] &= <uint8_t>~CWR
        elif cut.kind == DATAGRAMS:
            _put_half(transport + 4, <uint16_t>(8 + part))
        elif cut.kind == FRAGMENTS4:
            position = _half(ip + 6) + <uint32_t>(cut.done >> 3)
            _put_half(ip + 6, <uint16_t>(position if last else position | 0x2000))
        else:
            _put_half(frame + headers - 6, <uint16_t>(cut.done | (0 if last else 1)))
        if cut.version == 4:
            if cut.kind == SEGMENTS or cut.kind == DATAGRAMS:
                _put_half(ip + 4, <uint16_t>(_half(ip + 4) + cut.index))
            _put_half(ip + 10, 0)
            _put_half(ip + 10, <uint16_t>~_sum(ip, (ip[0] & 15) * 4, 0))
        if cut.kind == SEGMENTS:
            _finish(ip, cut.version, transport, size - cut.transport, 16, TCP)
        elif cut.kind == DATAGRAMS:
            _finish(ip, cut.version, transport, size - cut.transport, 6, UDP)
        if cut.index:
            self.extra += 1
        cut.index += 1
        cut.done += part
        if last:
            cut.kind = WHOLE
            self._release()
        return size


cdef Py_ssize_t _take(void *owner, uint8_t *frame, Py_ssize_t room) noexcept nogil:
    return (<PacketRing>owner).next(frame, room)


cdef inline uint16_t _half(const uint8_t *octets) noexcept nogil:
    return <uint16_t>(octets[0] << 8 | octets[1])


cdef inline void _put_half(uint8_t *octets, uint16_t value) noexcept nogil:
    octets[0] = value >> 8
    octets[1] = value & 0xFF


cdef inline void _put_tag(uint8_t *frame, const uint8_t *slot, uint32_t status) noexcept nogil:
    """The tag that the kernel took off: tp_vlan_tpid, where it says one, and tp_vlan_tci."""
    _put_half(frame + 12, (<const uint16_t *>slot)[13] if status & VLAN_TYPE else 0x8100)
    _put_half(frame + 14, (<const uint16_t *>slot)[12])


cdef uint16_t _sum(const uint8_t *octets, Py_ssize_t length, uint64_t total) noexcept nogil:
    """One's complement sum of big-endian words and of `total` (RFC 1071); an odd last octet is followed by zero."""
    cdef uint64_t words = 0
    cdef uint32_t word
    while length >= 4:
        memcpy(&word, octets, 4)
        words += word
        octets += 4
        length -= 4
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    total += (words & 0xFF) << 8 | words >> 8  # added as they lie in memory: RFC 1071 section 2 B
    if length >= 2:
        total += _half(octets)
        octets += 2
        length -= 2
    if length:
        total += octets[0] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return <uint16_t>total


cdef void _finish(uint8_t *ip, int version, uint8_t *transport, Py_ssize_t length, Py_ssize_t place, uint64_t protocol) noexcept nogil:
    """Write a transport's checksum (RFC 768, RFC 9293 section 3.1); `place` is its offset in the header."""
    cdef uint64_t total = protocol + length
    cdef uint16_t check
    total += _sum(ip + 12, 8, 0) if version == 4 else _sum(ip + 8, 32, 0)
    _put_half(transport + place, 0)
    check = <uint16_t>~_sum(transport, length, total)
    _put_half(transport + place, check if check else 0xFFFF)


cdef void _complete(uint8_t *data, Py_ssize_t length, Py_ssize_t start, Py_ssize_t offset) noexcept nogil:
    """Finish a checksum that the sender left to its card: the field holds the sum of the pseudo header."""
    cdef uint16_t check
    if start + offset + 2 > length:
        return
    check = <uint16_t>~_sum(data + start, length - start, 0)
    _put_half(data + start + offset, check if check else 0xFFFF)
