"""Where everything is in the shared status table: structures, sizes and how they follow each other.

    header | slots | columns, one for each process: head, gauges, tallies | tallies at the last reset

A change of any size or place needs another LAYOUT. docs/explanation/status-table.md shows every
byte; a test compares it with `fields` of `_table`.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ajp._atomic cimport half, word


cdef extern from * nogil:
    """
    #ifndef AJP_LAYOUT
    #define AJP_LAYOUT
    #include <stddef.h>

    typedef struct {
        /* never changes */
        char magic[8];
        uint32_t byte_order;
        uint32_t layout;
        uint32_t word_bytes;
        uint32_t header_bytes;
        uint32_t slot_bytes;
        uint32_t tally_bytes;
        uint32_t slots;
        uint32_t columns;
        uint64_t file_bytes;
        uint64_t created_ns;
        uint64_t spare0;
        /* changes seldom */
        ajp_word generation;
        ajp_word changes;
        ajp_word journal;
        ajp_word columns_used;
        ajp_word slots_used;
        ajp_half state;
        ajp_half holder;
        char boot_id[16];
        ajp_word claimed[4];
        ajp_half prober;
        ajp_half reload;
        ajp_word reloads;
        ajp_word reloads_refused;
        ajp_word reload_ns;
        ajp_word deaths;
        uint64_t spare2[7];
    } ajp_header;

    typedef struct {
        uint64_t present;
        uint64_t changed_ns;
        int64_t number[32];
        char text[4][128];
        uint64_t spare[6];
    } ajp_config;

    typedef struct {
        char name[64];
        char balancer[64];
        char address[128];
    } ajp_identity;

    typedef struct {
        ajp_half kind;
        ajp_half incarnation;
        ajp_word generation;
        ajp_word created_ns;
        uint64_t spare0[5];
        ajp_word identity[32];
        /* observed */
        ajp_half state;
        ajp_half activation;
        ajp_word count[7];
        ajp_word mark[5];
        ajp_word maintained;
        ajp_word max_in_flight;
        ajp_word max_connected;
        ajp_half last_reason;
        ajp_half probe_state;
        ajp_word last_reason_at;
        ajp_word reset_ns;
        ajp_word probe_at;
        ajp_word probe_rtt;
        ajp_word probe_failures;
        ajp_word session_at;
        ajp_half lock;
        ajp_half spare1;
        /* set by the operator while we run */
        ajp_word sequence;
        uint64_t spare2[7];
        ajp_word config[2][104];
        /* sessions seen, a bitmap for each of the last minutes */
        ajp_word minute[6];
        uint64_t spare3[2];
        ajp_word seen[6][32];
    } ajp_slot;

    typedef struct {
        ajp_half state;
        ajp_half pid;
        ajp_word started;
        ajp_word generation;
        ajp_word heartbeat_ns;
        ajp_word claims;
        uint64_t spare[3];
    } ajp_column;

    typedef struct {
        ajp_word counter[24];
        ajp_word reason[40];
        ajp_word first_byte[112];
        ajp_word duration[112];
    } ajp_tally;

    _Static_assert(sizeof(ajp_header) == 256, "header");
    _Static_assert(offsetof(ajp_header, generation) == 64, "what changes has lines of its own");
    _Static_assert(sizeof(ajp_config) == 832 && sizeof(ajp_config) == 8 * 104, "config");
    _Static_assert(sizeof(ajp_identity) == 8 * 32, "identity");
    _Static_assert(sizeof(ajp_slot) == 3840 && sizeof(ajp_slot) % 64 == 0, "slot");
    _Static_assert(offsetof(ajp_slot, state) % 64 == 0, "state");
    _Static_assert(offsetof(ajp_slot, sequence) % 64 == 0, "sequence");
    _Static_assert(offsetof(ajp_slot, config) % 64 == 0, "config of a slot");
    _Static_assert(offsetof(ajp_slot, seen) % 64 == 0, "sessions of a slot");
    _Static_assert(sizeof(ajp_column) == 64, "column");
    _Static_assert(sizeof(ajp_tally) == 2304 && sizeof(ajp_tally) % 64 == 0, "tally");
    #endif
    """
    ctypedef struct Header "ajp_header":
        char magic[8]           # MAGIC
        uint32_t byte_order     # BYTE_ORDER as this machine writes it
        uint32_t layout         # LAYOUT
        uint32_t word_bytes     # of a pointer
        uint32_t header_bytes
        uint32_t slot_bytes
        uint32_t tally_bytes
        uint32_t slots          # how many, a multiple of 8
        uint32_t columns        # how many
        uint64_t file_bytes
        uint64_t created_ns     # since 1970
        word generation         # newest generation of processes
        word changes            # moves whenever any slot's sequence does
        word journal            # entries of the journal that are part of what is here
        word columns_used       # columns from here on were never claimed
        word slots_used         # slots from here on were never taken
        half state              # TableState
        half holder             # process that holds the control lock; 0: nobody
        char boot_id[16]        # of the system the monotonic times belong to
        word claimed[4]         # columns of living processes, one bit each
        half prober             # column of the process that probes, and 1; 0: nobody does
        half reload             # how the last reload ended: snapshot.Reload
        word reloads            # those that were done
        word reloads_refused    # those that changed nothing
        word reload_ns          # since 1970, when the last one ended; 0: there was none
        word deaths             # processes that ended without being told to

    ctypedef struct Config "ajp_config":
        uint64_t present        # which of the values below are set, one bit each, texts from bit 32
        uint64_t changed_ns     # since 1970
        int64_t number[32]      # snapshot.NUMBERS
        char text[4][128]       # snapshot.TEXTS

    ctypedef struct Identity "ajp_identity":
        char name[64]           # UTF-8, ends with a zero
        char balancer[64]       # likewise; of members only
        char address[128]       # likewise

    ctypedef struct SlotMemory "ajp_slot":
        half kind               # snapshot.Kind; 0: free. Written last
        half incarnation        # how often the slot was taken
        word generation         # newest generation that refers to it
        word created_ns         # since 1970
        word identity[32]       # an Identity
        half state              # lb.State
        half activation         # lb.Activation
        word count[7]           # MemberCount
        word mark[5]            # MemberMark, doubles
        word maintained         # monotonic seconds of a balancer's last maintenance, a double
        word max_in_flight      # since the last reset
        word max_connected      # since the last reset
        half probe_state        # snapshot.ProbeState; of workers, as the next three
        word probe_at           # monotonic seconds of its last result, a double
        word probe_rtt          # seconds of the last good answer, a double
        word probe_failures     # since then
        word session_at         # when a session was last seen, or may have begun; a double
        half lock               # column of the process that elects, and 1; of balancers
        half last_reason        # number of the last failure's reason; 0: none
        word last_reason_at     # monotonic seconds, a double
        word reset_ns           # since 1970; 0: never
        word sequence           # how often the config changed; its lowest bit is the valid copy
        word config[2][104]     # two times Config
        word minute[6]          # which minute a bitmap is of, and 1; 0: none
        word seen[6][32]        # one bit for each hash of a session

    ctypedef struct ColumnHead "ajp_column":
        half state              # snapshot.ProcessState; 0: free
        half pid
        word started            # what the system says of the process' start, to know it again
        word generation
        word heartbeat_ns       # monotonic
        word claims             # how many processes had it

    ctypedef struct Tally "ajp_tally":
        word counter[24]        # Counter
        word reason[40]         # by number of the reason
        word first_byte[112]    # by bucket
        word duration[112]      # by bucket


cdef enum:
    LAYOUT = 2
    BYTE_ORDER = 0x0A0B0C0D
    CONFIG_WORDS = 104
    IDENTITY_WORDS = 32
    NUMBERS = 32
    TEXTS = 4
    TEXT_BYTES = 128
    NAME_BYTES = 64             # the ending zero included
    COUNTERS = 24
    REASONS = 40
    BUCKETS = 112
    MAX_COLUMNS = 256           # bits of Header.claimed
    MAX_SLOTS = 65536
    MARKS = 5
    MINUTES = 6                 # of SlotMemory.seen
    SEEN_WORDS = 32
    SEEN_BITS = 2048


cdef enum:                      # TableState
    IN_USE = 1
    REPLACED = 2                # by another file at the same path


cdef enum:                      # MemberCount, as the counts of lb._store
    COUNT_VALUE
    COUNT_IN_FLIGHT             # unused: lives in the columns
    COUNT_ELECTED
    COUNT_ELECTED_SEEN
    COUNT_SESSIONS
    COUNT_ERRORS
    COUNT_REPLY_TIMEOUTS


cdef enum:                      # MemberMark, as the marks of lb._store
    MARK_FIRST_ERROR
    MARK_LAST_ERROR
    MARK_LATENCY
    MARK_LATENCY_AT
    MARK_RETURNED


cdef enum:                      # Counter, as snapshot.COUNTERS
    USED                        # requests finished
    RETRIES                     # attempts after a request's first
    SESSIONS                    # requests that were to make a session
    BYTES_IN                    # from the container
    BYTES_OUT                   # to the container
    CONNECTS                    # connections made
    FIRST_BYTE_US               # sum over all in the histogram
    DURATION_US                 # likewise
    STATUS_1XX
    STATUS_2XX
    STATUS_3XX
    STATUS_4XX
    STATUS_5XX
    READS                       # receive calls that brought bytes of the container
    PROBES
    PROBE_FAILURES
    RESCUED                     # attempts that were taken off a frozen container
    STATUS_NONE                 # requests finished without any status
    TLS_HANDSHAKES              # of clients
    TLS_FAILURES                # handshakes that came to nothing


# hot
cdef inline uint32_t bucket_of(uint64_t us) noexcept nogil:
    """Bucket of a time in microseconds: four to an octave, from 64 us on; see `snapshot`."""
    cdef uint32_t octave, bucket
    if us < 64:
        return 0
    octave = 63 - <uint32_t>leading_zeros(us)
    bucket = 1 + (octave - 6) * 4 + (<uint32_t>(us >> (octave - 2)) & 3)
    return bucket if bucket < BUCKETS else <uint32_t>(BUCKETS - 1)


cdef extern from * nogil:
    """
    #define ajp_leading_zeros(number) __builtin_clzll(number)
    """
    int leading_zeros "ajp_leading_zeros"(uint64_t number)
