// claw_loop: one thread's event loop over sockets, with three backends behind one interface.
//
//   epoll   edge-triggered epoll; the loop does the read when readiness comes
//   uring   io_uring: multishot accept and receive into a provided-buffer ring,
//           single-issuer ring with deferred task run
//   played  no kernel at all: a test scripts what arrives and reads back what was sent
//           (claw_played.h); time is a value that the test advances
//
// All three deliver the same thing: "these bytes arrived in this buffer". Pull only: nothing
// here ever calls back. A loop belongs to one thread; only claw_loop_wake may be called from
// another. Functions return a count or zero, and a negated errno on failure.
//
// Ownership words used below: creates, destroys, borrows (for the call), keeps until.
#ifndef CLAW_LOOP_H
#define CLAW_LOOP_H
#include <stdint.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct claw_loop claw_loop;

enum { CLAW_BACKEND_AUTO = 0, CLAW_BACKEND_EPOLL = 1, CLAW_BACKEND_URING = 2, CLAW_BACKEND_PLAYED = 3 };

/// What happened. `result` and `buffer` by kind:
///   ACCEPTED   result = new descriptor (non-blocking, close-on-exec, TCP_NODELAY set; owned by
///              the receiver, not yet attached) or negated errno (EMFILE…: accepting pauses itself
///              for 100 ms, no busy loop)
///   CONNECTED  result = 0 or negated errno
///   RECEIVED   result > 0: that many bytes at the start of buffer `buffer`, which the receiver
///              owns until claw_buffer_release; 0: the peer ended its side; < 0: negated errno.
///              After 0 or < 0 nothing more is received on this socket.
///   READABLE   the socket is in CLAW_RECEIVE_READABLE mode and claw_recv would make progress
///   WRITABLE   after a claw_send that returned -EAGAIN or less than all: sending may go on
///   HUNGUP     receiving is paused or in readable mode and the peer reset the connection or closed
///              both directions (result = negated errno, never 0), or, receiving paused, ended its
///              side (result = 0). Each of the two is sent once: a reset may follow an end.
///   READY      a watched foreign descriptor: result = CLAW_READ | CLAW_WRITE | CLAW_ERROR
///   WOKEN      claw_loop_wake was called since the last wait (any number of times: one event)
///   RESOLVED   a name look-up ended: result = number of addresses or negated EAI_* code
///   SECURED    a TLS handshake ended: result = 0 or CLAW_TLS_* (claw_tls.h)
enum {
    CLAW_ACCEPTED = 1, CLAW_CONNECTED = 2, CLAW_RECEIVED = 3, CLAW_READABLE = 4,
    CLAW_WRITABLE = 5, CLAW_HUNGUP = 6, CLAW_READY = 7, CLAW_WOKEN = 8, CLAW_RESOLVED = 9, CLAW_SECURED = 10
};
enum { CLAW_READ = 1, CLAW_WRITE = 2, CLAW_ERROR = 4 };

typedef struct claw_event {
    uint64_t token;   // as given at attach/connect/accept/watch; stale events never surface
    int32_t result;
    uint32_t buffer;  // RECEIVED with result > 0, else CLAW_NO_BUFFER
    int32_t fd;
    uint16_t kind;
    uint16_t flags;   // RECEIVED: CLAW_MORE when the socket is known to hold more right now
} claw_event;
_Static_assert(sizeof(claw_event) == 24, "claw_event is 24 bytes");
enum { CLAW_MORE = 1 };
#define CLAW_NO_BUFFER_VALUE 0xffffffffu
static const uint32_t CLAW_NO_BUFFER = CLAW_NO_BUFFER_VALUE;

typedef struct claw_loop_options {
    uint32_t backend;       // CLAW_BACKEND_*; AUTO takes uring if usable, else epoll
    uint32_t buffer_bytes;  // size of a buffer, a multiple of 4096 (engine uses 16384)
    uint32_t buffer_count;  // how many exist at most; memory is touched on first use only
    uint32_t reserved;
} claw_loop_options;

/// A span of memory to send. Borrowed for the call.
typedef struct claw_slice { const void *base; size_t length; } claw_slice;

/// An IPv4/IPv6/unix address as the kernel has it.
typedef struct claw_address { uint32_t length; uint32_t family; uint8_t bytes[120]; } claw_address;
_Static_assert(sizeof(claw_address) == 128, "claw_address is 128 bytes");

/// Creates a loop. With AUTO or URING and a kernel or sandbox that refuses io_uring, falls back to
/// epoll and *fallback_errno (may be NULL) says why (0: no fallback). The caller logs it.
int32_t claw_loop_create(const claw_loop_options *options, claw_loop **out, int32_t *fallback_errno);
/// Destroys the loop, its buffers and whatever sockets are still attached.
void claw_loop_destroy(claw_loop *loop);
/// Which backend serves: CLAW_BACKEND_EPOLL, _URING or _PLAYED.
uint32_t claw_loop_backend(const claw_loop *loop);

/// Waits for events, at most timeout_ns (0: polls, < 0: without end), writes up to capacity of them,
/// reads the clock once on return. Returns how many; 0 on time-out or EINTR.
int32_t claw_loop_wait(claw_loop *loop, claw_event *events, int32_t capacity, int64_t timeout_ns);
/// Monotonic nanoseconds as read at the end of the last wait.
uint64_t claw_loop_now(const claw_loop *loop);
/// Any thread: makes the current or next wait return with a WOKEN event (token 0).
void claw_loop_wake(claw_loop *loop);

// ---- buffers -------------------------------------------------------------------------------
/// First byte of buffer 0; buffer i begins at base + i * buffer_bytes.
uint8_t *claw_buffer_base(const claw_loop *loop);
/// Takes a free buffer; CLAW_NO_BUFFER when all are taken.
uint32_t claw_buffer_take(claw_loop *loop);
/// Gives a buffer back (most recently used first out again).
void claw_buffer_release(claw_loop *loop, uint32_t buffer);
/// Buffers taken or lent to the kernel right now.
uint32_t claw_buffers_in_use(const claw_loop *loop);

// ---- sockets -------------------------------------------------------------------------------
/// Starts accepting on a listening descriptor (from claw_listen). Keeps it until accept_stop.
int32_t claw_accept_start(claw_loop *loop, int32_t fd, uint64_t token);
/// Stops accepting; the descriptor stays open and the caller's.
int32_t claw_accept_stop(claw_loop *loop, int32_t fd);

/// Attaches an accepted stream socket; the loop owns it until claw_close. Receiving is off.
int32_t claw_attach(claw_loop *loop, int32_t fd, uint64_t token);
/// Opens a stream socket (TCP_NODELAY) and begins to connect. Returns the descriptor, attached;
/// CONNECTED follows, also when the connection was made at once.
int32_t claw_connect(claw_loop *loop, const claw_address *address, uint64_t token);
/// Gives an attached socket another token (a pooled connection that changes hands).
int32_t claw_retoken(claw_loop *loop, int32_t fd, uint64_t token);

enum { CLAW_RECEIVE_OFF = 0, CLAW_RECEIVE_BUFFERED = 1, CLAW_RECEIVE_READABLE = 2 };
/// Says how bytes shall arrive. BUFFERED: RECEIVED events. READABLE: READABLE events, then the
/// caller reads with claw_recv into memory of its own until -EAGAIN or a short read (large bodies).
/// OFF: nothing arrives (back-pressure); what the kernel had already delivered in this wait's batch may
/// still surface once. Switching on again finds bytes that came meanwhile. Idempotent, cheap.
int32_t claw_receive(claw_loop *loop, int32_t fd, uint32_t mode);
/// Reads at most length bytes into memory of the caller. > 0 bytes, 0 end, -EAGAIN none now, < 0 error.
int64_t claw_recv(claw_loop *loop, int32_t fd, void *into, size_t length);
/// Asks to be told of bytes only when at least this many are there (SO_RCVLOWAT; 1: as usual): a large body then costs few wake-ups. The end of
/// the stream, an error, or a full receive buffer is told all the same. Nothing on played loops. A secure socket may tell of fewer, by
/// up to one record.
int32_t claw_receive_at_least(claw_loop *loop, int32_t fd, uint32_t bytes);
/// Sends slices (borrows, count ≤ 64) without blocking. Returns bytes taken (may be fewer than all; then
/// WRITABLE follows) or -EAGAIN (WRITABLE follows) or another negated errno (-EPIPE, -ECONNRESET). Never raises SIGPIPE.
int64_t claw_send(claw_loop *loop, int32_t fd, const claw_slice *slices, int32_t count);
/// Ends our side (FIN), still receiving.
int32_t claw_shutdown_send(claw_loop *loop, int32_t fd);
/// Ends it: no event with its token surfaces any more. reset != 0 sends RST instead of FIN.
int32_t claw_close(claw_loop *loop, int32_t fd, int32_t reset);

/// Watches a descriptor that somebody else owns (libcurl's): READY events, level-triggered, for the given
/// CLAW_READ|CLAW_WRITE set; 0 stops watching. Must be stopped before the owner closes it.
int32_t claw_watch(claw_loop *loop, int32_t fd, uint32_t interest, uint64_t token);

// ---- names ---------------------------------------------------------------------------------
/// Looks a name up on the loop's resolver thread (started on first use, bounded queue of 256:
/// -EAGAIN beyond). A RESOLVED event with the token follows. host and port: borrows.
int32_t claw_resolve(claw_loop *loop, const char *host, uint16_t port, uint64_t token);
/// After RESOLVED: copies up to capacity addresses of that token out and forgets them.
int32_t claw_resolved(claw_loop *loop, uint64_t token, claw_address *into, int32_t capacity);

#ifdef __cplusplus
}
#endif
#endif
