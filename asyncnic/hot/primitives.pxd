"""What the compiled hot path asks of C and has no word for in Python: ring words, octets, sums, write(2), sendmmsg(2).

Both sides of a ring may be different processors, so its words are read and written once each, in the order that the
program has them. A file for the compiler: the interpreted hot path knows nothing of it.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <arpa/inet.h>
    #include <errno.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    static inline uint32_t load32(const void *place) { return *(const volatile uint32_t *)place; }
    static inline void store32(void *place, uint32_t word) {
        __atomic_thread_fence(__ATOMIC_RELEASE);
        *(volatile uint32_t *)place = word;
    }
    static inline void copy_octets(void *to, const void *from, size_t size) { memcpy(to, from, size); }
    static inline int same_octets(const void *one, const void *other, size_t size) {
        return !memcmp(one, other, size);
    }
    static inline void clear_octets(void *at, size_t size) { memset(at, 0, size); }
    static inline void put16(uint8_t *at, uint32_t number) { at[0] = (number >> 8) & 0xff; at[1] = number & 0xff; }
    static inline void put32(uint8_t *at, uint32_t number) { number = htonl(number); memcpy(at, &number, 4); }

    /* One's complement sum of 16-bit words as they lie in memory (RFC 1071 section 2 B), not yet folded to 16 bits. */
    static inline uint64_t sum_octets(const uint8_t *octets, size_t size) {
        uint64_t total = 0;
        uint32_t word;
        uint16_t half = 0;
        for (; size >= 4; octets += 4, size -= 4) { memcpy(&word, octets, 4); total += word; }
        if (size >= 2) { memcpy(&half, octets, 2); total += half; octets += 2; size -= 2; half = 0; }
        if (size) { memcpy(&half, octets, 1); total += half; }
        return total;
    }
    static inline uint32_t fold16(uint64_t total) {
        while (total >> 16) total = (total & 0xffff) + (total >> 16);
        return (uint32_t)total;
    }
    static inline void put_check(uint8_t *at, uint32_t check) { uint16_t half = check; memcpy(at, &half, 2); }
    static inline uint32_t net16(uint32_t number) { return htons((uint16_t)number); }

    /* Not libc's write(2): that is a cancellation point, and costs more wherever there ever was a thread. */
    static inline long write_frame(int fd, const void *octets, size_t size) {
        long done;
        do done = syscall(SYS_write, fd, octets, size); while (done < 0 && errno == EINTR);
        return done;
    }

    /* Frames that are sent in one call of the kernel. */
    #define FRAMES_A_CALL 64
    typedef struct { struct mmsghdr heads[FRAMES_A_CALL]; struct iovec parts[FRAMES_A_CALL]; } FrameBatch;

    static inline void gather_frame(FrameBatch *batch, int place, const void *octets, size_t size) {
        batch->parts[place].iov_base = (void *)octets;
        batch->parts[place].iov_len = size;
        memset(&batch->heads[place], 0, sizeof batch->heads[place]);
        batch->heads[place].msg_hdr.msg_iov = &batch->parts[place];
        batch->heads[place].msg_hdr.msg_iovlen = 1;
    }
    static inline long send_frames(int fd, FrameBatch *batch, int count) {
        long done;
        do done = syscall(SYS_sendmmsg, fd, batch->heads, count, MSG_DONTWAIT); while (done < 0 && errno == EINTR);
        return done < 0 ? 0 : done;
    }
    /* The same for read(2): octets, or minus an error number. */
    static inline long read_frame(int fd, void *octets, size_t size) {
        long done;
        do done = syscall(SYS_read, fd, octets, size); while (done < 0 && errno == EINTR);
        return done < 0 ? -errno : done;
    }
    static inline uint32_t load16(const void *place) { uint16_t half; memcpy(&half, place, 2); return half; }
    static inline uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }
    static inline uint64_t load64(const void *place) { uint64_t word; memcpy(&word, place, 8); return word; }
    static inline double seconds_now(void) {
        struct timespec moment;
        clock_gettime(CLOCK_MONOTONIC, &moment);
        return moment.tv_sec + moment.tv_nsec * 1e-9;
    }
    """
    enum: FRAMES_A_CALL
    ctypedef struct FrameBatch:
        pass
    void gather_frame(FrameBatch *batch, int place, const void *octets, size_t size) noexcept nogil
    long send_frames(int fd, FrameBatch *batch, int count) noexcept nogil
    uint32_t load32(const void *place) noexcept nogil
    void store32(void *place, uint32_t word) noexcept nogil
    void copy_octets(void *to, const void *source, size_t size) noexcept nogil
    bint same_octets(const void *one, const void *other, size_t size) noexcept nogil
    void clear_octets(void *at, size_t size) noexcept nogil
    void put16(unsigned char *at, uint32_t number) noexcept nogil
    void put32(unsigned char *at, uint32_t number) noexcept nogil
    unsigned long sum_octets(const unsigned char *octets, size_t size) noexcept nogil
    uint32_t fold16(unsigned long total) noexcept nogil
    void put_check(unsigned char *at, uint32_t check) noexcept nogil
    uint32_t net16(uint32_t number) noexcept nogil
    long write_frame(int fd, const void *octets, size_t size) noexcept nogil
    long read_frame(int fd, void *octets, size_t size) noexcept nogil
    uint64_t load64(const void *place) noexcept nogil
    double seconds_now() noexcept nogil
    uint32_t load16(const void *place) noexcept nogil
    uint32_t get16(const unsigned char *at) noexcept nogil
