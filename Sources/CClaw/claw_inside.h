// claw_inside: what the parts of the loop share among themselves and nobody outside sees: the
// loop itself, the socket table, the buffer pool and the table of functions each backend fills in.
//
// The socket table is one flat array indexed by descriptor, mapped without being touched, so that
// looking a socket up is an addition and a thousand idle loops cost nothing. A record outlives its
// socket: its generation is counted up at each attach and close, and whatever comes late from
// the kernel names the generation it was asked under and is dropped when that has passed.
#ifndef CLAW_INSIDE_H
#define CLAW_INSIDE_H
#include "claw_loop.h"
#include <stdbool.h>

enum { CLAW_SOCKETS_MAX = 1 << 20, CLAW_SEND_SLICES_MAX = 64 };
/// Accepting pauses this long when descriptors or memory run out.
#define CLAW_ACCEPT_PAUSE_NS 100000000ull

/// What a descriptor is to the loop.
enum { CLAW_KIND_NONE = 0, CLAW_KIND_STREAM, CLAW_KIND_CONNECTING, CLAW_KIND_LISTENER, CLAW_KIND_FOREIGN };
/// Which list a record is linked into.
enum { CLAW_LIST_NONE = 0, CLAW_LIST_READY, CLAW_LIST_STARVED, CLAW_LIST_PAUSED, CLAW_LISTS };

enum {
    CLAW_SOCKET_READABLE = 1 << 0,     // bytes or the end may be had from the kernel without waiting
    CLAW_SOCKET_TOLD = 1 << 1,         // READABLE was surfaced and claw_recv has not made progress since
    CLAW_SOCKET_ENDING = 1 << 2,       // the peer ended its side; the end itself is behind the bytes
    CLAW_SOCKET_FAILED = 1 << 3,       // the connection is broken; `error` says how
    CLAW_SOCKET_OVER = 1 << 4,         // the end or the error was surfaced: nothing more is received
    CLAW_SOCKET_HUNG = 1 << 5,         // HUNGUP with result 0 was surfaced
    CLAW_SOCKET_HUNG_ERROR = 1 << 6,   // HUNGUP with an error was surfaced
    CLAW_SOCKET_WANTS_WRITE = 1 << 7,  // a claw_send fell short and WRITABLE has not followed yet
    CLAW_SOCKET_WRITABLE = 1 << 8,     // WRITABLE is to be surfaced
    CLAW_SOCKET_CONNECTED = 1 << 9,    // the outcome of connecting is to be surfaced; `error` holds it
    CLAW_SOCKET_FLOWING = 1 << 10,     // the last buffer was full: more than one may be read in a wait
    CLAW_SOCKET_SECURE = 1 << 11,      // under TLS: claw_secure.h has the rest of it
};

typedef struct claw_socket {
    uint64_t token;
    union {
        uint64_t resume_ns;                              // paused listener: when to go on
        struct { uint32_t held_first, held_last; };      // stream on io_uring: buffers not yet surfaced
    };
    uint32_t generation;  // 24 bits are used
    int32_t error;        // positive errno
    int32_t next, prev;   // neighbours in the list, -1 at the ends
    uint16_t flags;
    uint8_t kind, mode, list;
    uint8_t armed;        // io_uring: requests in flight
    uint8_t interest;     // foreign: CLAW_READ | CLAW_WRITE
    uint8_t pending;      // foreign: readiness to be surfaced
} claw_socket;
_Static_assert(sizeof(claw_socket) == 40, "a socket record is 40 bytes");

typedef struct claw_list { int32_t first, last; uint32_t count; } claw_list;

/// A buffer that waits to be surfaced, linked by buffer index.
typedef struct claw_held { uint32_t next, offset, length; } claw_held;

/// The buffer pool: a last-in-first-out stack over a mapping of which only used parts are touched.
typedef struct claw_pool {
    uint8_t *base;
    uint32_t *stack;      // released buffers, most recent on top
    claw_held *held;      // by buffer
    uint32_t stack_count;
    uint32_t fresh;       // buffers from here on were never taken
    uint32_t count, bytes, in_use;
} claw_pool;

/// Where a wait writes its events.
typedef struct claw_batch { claw_event *events; int32_t count, capacity; } claw_batch;

typedef struct claw_backend {
    /// One turn: collects into the batch, blocking at most timeout_ns when it is empty.
    int32_t (*wait)(claw_loop *, claw_batch *, int64_t timeout_ns);
    int32_t (*accept_start)(claw_loop *, int32_t fd);
    void (*accept_stop)(claw_loop *, int32_t fd);
    /// A new stream socket (kind and token are set); the backend makes it known to the kernel.
    int32_t (*attach)(claw_loop *, int32_t fd);
    int32_t (*connect)(claw_loop *, const claw_address *, uint64_t token);
    void (*receive)(claw_loop *, int32_t fd, uint32_t mode_before);
    int64_t (*recv)(claw_loop *, int32_t fd, void *, size_t);
    int64_t (*send)(claw_loop *, int32_t fd, const claw_slice *, int32_t);
    int32_t (*shutdown_send)(claw_loop *, int32_t fd);
    void (*close)(claw_loop *, int32_t fd, bool reset);
    int32_t (*watch)(claw_loop *, int32_t fd, uint32_t interest_before);
    int32_t (*resolve)(claw_loop *, const char *host, uint16_t port, uint64_t token);
    void (*destroy)(claw_loop *);
} claw_backend;

struct claw_resolver;
struct claw_secures;

struct claw_loop {
    const claw_backend *backend;
    claw_socket *sockets;
    uint32_t sockets_count;
    int32_t sockets_highest;        // no record above was ever begun
    uint32_t backend_id;
    claw_list lists[CLAW_LISTS];
    claw_pool pool;
    uint64_t now;
    int32_t wake_fd;                // eventfd; -1 when played
    uint32_t wake_bits;             // atomic: CLAW_WAKE_*
    bool woken;                     // a WOKEN event is to be surfaced
    bool resolved;                  // the resolver has answers to surface
    struct claw_resolver *resolver; // NULL until first used
    struct claw_secures *secures;   // TLS; NULL until first used
    void *state;                    // the backend's own
};
enum { CLAW_WAKE_USER = 1, CLAW_WAKE_RESOLVER = 2 };

// ---- claw_loop.c
uint64_t claw_clock(void);
/// Any thread: notes why and rouses the loop.
void claw_loop_rouse(claw_loop *loop, uint32_t why);
/// The loop's thread, after its eventfd fired: takes the reasons over.
void claw_loop_roused(claw_loop *loop);

// ---- backends: each creates `state` and sets `backend`
int32_t claw_epoll_create(claw_loop *loop);
int32_t claw_uring_create(claw_loop *loop);
int32_t claw_played_create(claw_loop *loop);

// ---- claw_buffer.c
int32_t claw_pool_create(claw_pool *pool, uint32_t bytes, uint32_t count);
void claw_pool_destroy(claw_pool *pool);
static inline bool claw_pool_empty(const claw_pool *pool) { return pool->stack_count == 0 && pool->fresh == pool->count; }

// ---- claw_socket.c
static inline claw_socket *claw_socket_at(claw_loop *loop, int32_t fd) {
    return fd >= 0 && (uint32_t)fd < loop->sockets_count ? &loop->sockets[fd] : NULL;
}
/// The record if the descriptor is one of these (a stream, connecting or not), else NULL.
static inline claw_socket *claw_stream_at(claw_loop *loop, int32_t fd) {
    claw_socket *s = claw_socket_at(loop, fd);
    return s != NULL && (s->kind == CLAW_KIND_STREAM || s->kind == CLAW_KIND_CONNECTING) ? s : NULL;
}
/// Begins a new life of the record: next generation, everything else as new.
claw_socket *claw_socket_begin(claw_loop *loop, int32_t fd, uint8_t kind, uint64_t token);
/// Ends it: out of every list, next generation.
void claw_socket_end(claw_loop *loop, int32_t fd);
void claw_list_push(claw_loop *loop, uint8_t list, int32_t fd);
void claw_list_remove(claw_loop *loop, int32_t fd);
int32_t claw_list_pop(claw_loop *loop, uint8_t list);
static inline void claw_ready(claw_loop *loop, int32_t fd) { claw_list_push(loop, CLAW_LIST_READY, fd); }

static inline bool claw_batch_full(const claw_batch *batch) { return batch->count == batch->capacity; }
static inline claw_event *claw_emit(claw_batch *batch, const claw_socket *s, int32_t fd, uint16_t kind, int32_t result) {
    claw_event *event = &batch->events[batch->count++];
    *event = (claw_event){ .token = s->token, .result = result, .buffer = CLAW_NO_BUFFER_VALUE, .fd = fd, .kind = kind };
    return event;
}
/// Surfaces the notices of a stream that are not bytes: CONNECTED, READABLE, HUNGUP, WRITABLE.
/// False when the batch filled up first.
bool claw_socket_notices(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch);
/// Keeps what a readiness mask (poll's and epoll's are the same bits) says of a stream.
void claw_socket_note(claw_loop *loop, claw_socket *s, int32_t fd, uint32_t mask);
/// Surfaces the end of what the peer sent (the batch has room).
void claw_socket_over(claw_socket *s, int32_t fd, claw_batch *batch, int32_t error);
/// A foreign descriptor: the poll mask it wants, keeping its readiness, surfacing it (false: no room).
uint32_t claw_foreign_mask(const claw_socket *s);
void claw_foreign_note(claw_loop *loop, claw_socket *s, int32_t fd, uint32_t mask);
bool claw_foreign_serve(claw_socket *s, int32_t fd, claw_batch *batch);
/// Takes the pending error of a socket into its record.
void claw_socket_fail(claw_socket *s, int32_t fd);
/// Opens a socket and begins to connect; *pending says whether the outcome is still to come
/// (otherwise the record's CONNECTED flag is set already).
int32_t claw_socket_connect(claw_loop *loop, const claw_address *address, uint64_t token, bool *pending);
/// Keeps what a read into the caller's memory found (bytes, 0 or negated errno); returns what to tell.
int64_t claw_socket_recv_done(claw_loop *loop, int32_t fd, int64_t n, size_t length);
int64_t claw_socket_recv(claw_loop *loop, int32_t fd, void *into, size_t length);
int64_t claw_socket_send(claw_loop *loop, int32_t fd, const claw_slice *slices, int32_t count);
int32_t claw_socket_shutdown_send(claw_loop *loop, int32_t fd);
/// Sets on a listener what its connections are to inherit.
void claw_accept_prepare(int32_t fd);
/// What an accept that failed means: true when accepting has to pause and the caller be told.
bool claw_accept_must_pause(int32_t error);
/// Moves due listeners to the ready list; returns the time-out cut down to the next one's hour.
int64_t claw_accept_resume(claw_loop *loop, int64_t timeout_ns);
/// Puts a listener to sleep for CLAW_ACCEPT_PAUSE_NS.
void claw_accept_pause(claw_loop *loop, int32_t fd);

// ---- claw_resolve.c
int32_t claw_resolver_ask(claw_loop *loop, const char *host, uint16_t port, uint64_t token);
/// Puts an answer in without having asked (played names).
int32_t claw_resolver_answer(claw_loop *loop, uint64_t token, int32_t result, const claw_address *addresses);
/// Surfaces answers while the batch has room; clears loop->resolved when none is left.
void claw_resolver_collect(claw_loop *loop, claw_batch *batch);
void claw_resolver_destroy(claw_loop *loop);
#endif
