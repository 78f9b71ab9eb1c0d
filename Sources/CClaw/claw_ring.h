// What the two halves of the io_uring backend share: the ring and the requests on it (claw_ring.c), and
// what the loop makes of them (claw_uring.c).
#ifndef CLAW_RING_H
#define CLAW_RING_H
#include "claw_inside.h"
#include <liburing.h>

enum { OP_CANCEL = 1, OP_ACCEPT, OP_RECEIVE, OP_POLL_READ, OP_POLL_WRITE, OP_POLL_HANGUP, OP_WATCH, OP_WAKE };
enum {
    ARMED_RECEIVE = 1 << 0, ARMED_CANCEL = 1 << 1,   // the receive, and whether it is being cancelled
    ARMED_READ = 1 << 2, ARMED_WRITE = 1 << 3, ARMED_HANGUP = 1 << 4,
    ARMED_ONLY = 1 << 5,                             // the one request of a listener or foreign descriptor
    SAW_END = 1 << 6,                                // the receive met the end or an error; held bytes come first
};

typedef struct uring_state {
    struct io_uring ring;
    struct io_uring_buf_ring *lent;
    uint32_t lent_entries, lent_max;
    uint32_t lent_count;   // buffers the kernel can pick right now
    bool enabled;          // by the first wait: the ring belongs to the thread that does it
    bool wake_armed;
} uring_state;

static inline uring_state *uring_of(claw_loop *loop) { return loop->state; }

/// Sets up, but does not yet enable, a ring with its lent buffers. Leaves nothing behind on failure.
int32_t claw_ring_create(claw_loop *loop);
void claw_ring_destroy(claw_loop *loop);
/// Makes the ring the calling thread's; done by the first wait.
int32_t claw_ring_enable(uring_state *state);
/// Submits what is prepared and waits for one completion. Time-outs are no errors.
int32_t claw_ring_enter(uring_state *state, int64_t timeout_ns);
/// Fills the lent buffers up from the pool.
void claw_ring_lend(claw_loop *loop);

// Prepare a request and note it in the record. False when the kernel takes no more submissions just now:
// the caller tries again in the next wait.
bool claw_arm_poll(claw_loop *loop, claw_socket *s, int32_t fd, uint32_t op, uint8_t bit, uint32_t mask);
bool claw_arm_receive(claw_loop *loop, claw_socket *s, int32_t fd);
bool claw_arm_accept(claw_loop *loop, claw_socket *s, int32_t fd);
bool claw_arm_wake(claw_loop *loop);
/// Cancels the request of this kind that the record has in flight.
bool claw_arm_cancel(claw_loop *loop, const claw_socket *s, int32_t fd, uint32_t op);
#endif
