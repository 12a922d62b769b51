"""C11 atomics, the only place that names them: words of memory that processes share.

Relaxed where nothing is said. A word is 8 bytes, a half 4; both are what `memcpy` would see, so a
file of words can be read by another build.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from * nogil:
    """
    #ifndef AJP_ATOMIC
    #define AJP_ATOMIC
    #include <stdatomic.h>
    #include <stdint.h>
    #include <string.h>

    typedef _Atomic uint64_t ajp_word;
    typedef _Atomic uint32_t ajp_half;

    /* Locks hidden in a library's memory would not reach other processes. */
    _Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics need locks here");
    _Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics need locks here");
    _Static_assert(sizeof(ajp_word) == 8 && sizeof(ajp_half) == 4, "atomics have extra bytes here");
    _Static_assert(sizeof(double) == 8, "a double is no word here");

    static inline uint64_t ajp_load(ajp_word *at) {
        return atomic_load_explicit(at, memory_order_relaxed);
    }
    static inline uint64_t ajp_load_acquire(ajp_word *at) {
        return atomic_load_explicit(at, memory_order_acquire);
    }
    static inline void ajp_store(ajp_word *at, uint64_t number) {
        atomic_store_explicit(at, number, memory_order_relaxed);
    }
    static inline void ajp_store_release(ajp_word *at, uint64_t number) {
        atomic_store_explicit(at, number, memory_order_release);
    }
    static inline int ajp_swap(ajp_word *at, uint64_t expected, uint64_t number) {
        return atomic_compare_exchange_strong_explicit(
            at, &expected, number, memory_order_acq_rel, memory_order_acquire);
    }
    static inline void ajp_set_bits(ajp_word *at, uint64_t bits) {
        atomic_fetch_or_explicit(at, bits, memory_order_acq_rel);
    }
    static inline void ajp_clear_bits(ajp_word *at, uint64_t bits) {
        atomic_fetch_and_explicit(at, ~bits, memory_order_acq_rel);
    }
    /* For a word with one writer: no locked instruction, since nobody else can come between. */
    static inline void ajp_bump(ajp_word *at, uint64_t by) {
        ajp_store(at, ajp_load(at) + by);
    }
    static inline void ajp_raise_to(ajp_word *at, uint64_t number) {
        uint64_t before = ajp_load(at);
        while (before < number && !atomic_compare_exchange_weak_explicit(
                   at, &before, number, memory_order_relaxed, memory_order_relaxed)) {
        }
    }
    /* Up or down by a distance; stops at 0 and at the ceiling. */
    static inline void ajp_move(ajp_word *at, int64_t by, uint64_t ceiling) {
        uint64_t before = ajp_load(at), after;
        uint64_t distance = by < 0 ? 0 - (uint64_t)by : (uint64_t)by;
        do {
            if (by < 0) {
                after = before > distance ? before - distance : 0;
            } else {
                after = before + distance < ceiling ? before + distance : ceiling;
            }
        } while (!atomic_compare_exchange_weak_explicit(
                     at, &before, after, memory_order_relaxed, memory_order_relaxed));
    }
    static inline double ajp_load_double(ajp_word *at) {
        uint64_t bits = ajp_load(at);
        double number;
        memcpy(&number, &bits, sizeof number);
        return number;
    }
    static inline uint64_t ajp_bits(double number) {
        uint64_t bits;
        memcpy(&bits, &number, sizeof bits);
        return bits;
    }
    static inline uint32_t ajp_half_load(ajp_half *at) {
        return atomic_load_explicit(at, memory_order_acquire);
    }
    static inline void ajp_half_store(ajp_half *at, uint32_t number) {
        atomic_store_explicit(at, number, memory_order_release);
    }
    static inline int ajp_half_swap(ajp_half *at, uint32_t expected, uint32_t number) {
        return atomic_compare_exchange_strong_explicit(
            at, &expected, number, memory_order_acq_rel, memory_order_acquire);
    }
    /* Between these two lies what somebody may read while it is written; see `latch`. */
    static inline void ajp_copy_in(ajp_word *at, const void *from, uint64_t words) {
        uint64_t i, number;
        atomic_thread_fence(memory_order_release);
        for (i = 0; i < words; i++) {
            memcpy(&number, (const char *)from + 8 * i, 8);
            ajp_store(&at[i], number);
        }
    }
    static inline void ajp_copy_out(void *to, ajp_word *at, uint64_t words) {
        uint64_t i, number;
        for (i = 0; i < words; i++) {
            number = ajp_load(&at[i]);
            memcpy((char *)to + 8 * i, &number, 8);
        }
        atomic_thread_fence(memory_order_acquire);
    }
    #endif
    """
    ctypedef struct word "ajp_word":
        pass
    ctypedef struct half "ajp_half":
        pass

    uint64_t load "ajp_load"(word* at)
    uint64_t load_acquire "ajp_load_acquire"(word* at)
    void store "ajp_store"(word* at, uint64_t number)
    void store_release "ajp_store_release"(word* at, uint64_t number)
    # Whether it was the expected one, and is the new one now.
    bint swap "ajp_swap"(word* at, uint64_t expected, uint64_t number)
    void set_bits "ajp_set_bits"(word* at, uint64_t bits)
    void clear_bits "ajp_clear_bits"(word* at, uint64_t bits)
    # Add to a word that only the caller writes to.
    void bump "ajp_bump"(word* at, uint64_t by)
    # Never lower it.
    void raise_to "ajp_raise_to"(word* at, uint64_t number)
    # Up or down; stops at 0 and at the ceiling.
    void move "ajp_move"(word* at, int64_t by, uint64_t ceiling)
    double load_double "ajp_load_double"(word* at)
    uint64_t bits_of "ajp_bits"(double number)
    # Acquire, release and both.
    uint32_t half_load "ajp_half_load"(half* at)
    void half_store "ajp_half_store"(half* at, uint32_t number)
    bint half_swap "ajp_half_swap"(half* at, uint32_t expected, uint32_t number)
    # A release fence, then word by word; word by word, then an acquire fence.
    void copy_in "ajp_copy_in"(word* at, const void* source, uint64_t words)
    void copy_out "ajp_copy_out"(void* to, word* at, uint64_t words)
