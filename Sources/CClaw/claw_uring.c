// The io_uring backend. A socket that receives has one multishot receive in flight that picks its
// buffers from a small ring lent to the kernel out of the loop's pool; a listener has a multishot
// accept; everything else is a one-shot poll. Sends and reads into the caller's memory stay plain
// system calls, so that no memory is ever in flight but the lent buffers.
//
// Requests are only prepared at the beginning of a wait, right before the one io_uring_enter that
// submits them: a request that names a descriptor must never lie unsubmitted while the caller
// may close that descriptor and open another under its number. Between waits only cancellations are
// prepared, and those name requests. With deferred task run nothing happens behind our back between
// two waits either, so a plain recv between them sees the bytes in order.
//
// Switching receiving off leaves the receive in flight, because many pauses end before anything comes;
// the first bytes that do come are held, not surfaced, and only then is the receive cancelled.
#include "claw_ring.h"
#include "claw_secure.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/// At most one cancellation of a receive is under way.
static void cancel_receive(claw_loop *loop, claw_socket *s, int32_t fd) {
    if ((s->armed & (ARMED_RECEIVE | ARMED_CANCEL)) != ARMED_RECEIVE) return;
    if (claw_arm_cancel(loop, s, fd, OP_RECEIVE)) s->armed |= ARMED_CANCEL;
}

// ---- held buffers --------------------------------------------------------------------------

static bool holds(const claw_socket *s) { return s->held_first != CLAW_NO_BUFFER_VALUE; }

static void hold(claw_loop *loop, claw_socket *s, uint32_t buffer, uint32_t length) {
    claw_held *held = loop->pool.held;
    held[buffer] = (claw_held){ .next = CLAW_NO_BUFFER_VALUE, .length = length };
    if (holds(s)) held[s->held_last].next = buffer;
    else s->held_first = buffer;
    s->held_last = buffer;
}

static uint32_t unhold(claw_loop *loop, claw_socket *s) {
    uint32_t buffer = s->held_first;
    s->held_first = loop->pool.held[buffer].next;
    if (!holds(s)) s->held_last = CLAW_NO_BUFFER_VALUE;
    return buffer;
}

static bool surface_held(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch) {
    while (holds(s)) {
        if (claw_batch_full(batch)) return false;
        uint32_t buffer = unhold(loop, s);
        claw_held *held = &loop->pool.held[buffer];
        uint8_t *bytes = loop->pool.base + (size_t)buffer * loop->pool.bytes;
        if (held->offset > 0) memmove(bytes, bytes + held->offset, held->length);
        claw_event *event = claw_emit(batch, s, fd, CLAW_RECEIVED, (int32_t)held->length);
        event->buffer = buffer;
        event->flags = holds(s) ? CLAW_MORE : 0;
    }
    return true;
}

// ---- serving -------------------------------------------------------------------------------

/// Which poll tells a paused or stalled socket that its peer is gone. Once the end is known only
/// a broken connection is news, and poll reports that unasked (POLLERR, POLLHUP).
static bool arm_hangup(claw_loop *loop, claw_socket *s, int32_t fd) {
    if ((s->armed & ARMED_HANGUP) || (s->flags & (CLAW_SOCKET_FAILED | CLAW_SOCKET_HUNG_ERROR))) return true;
    bool ended = s->flags & (CLAW_SOCKET_ENDING | CLAW_SOCKET_OVER);
    return claw_arm_poll(loop, s, fd, OP_POLL_HANGUP, ARMED_HANGUP, ended ? 0 : POLLRDHUP);
}

/// Puts in flight what the socket's state asks for. False: try again in the next wait.
static bool arm_stream(claw_loop *loop, claw_socket *s, int32_t fd) {
    bool connecting = s->kind == CLAW_KIND_CONNECTING && !(s->flags & CLAW_SOCKET_CONNECTED);
    if ((connecting || (s->flags & CLAW_SOCKET_WANTS_WRITE)) && !(s->armed & ARMED_WRITE))
        if (!claw_arm_poll(loop, s, fd, OP_POLL_WRITE, ARMED_WRITE, POLLOUT)) return false;
    if (s->kind == CLAW_KIND_CONNECTING) return true;
    if (s->armed & ARMED_RECEIVE) {
        if (s->mode == CLAW_RECEIVE_READABLE) cancel_receive(loop, s, fd);
        return true;
    }
    if (s->mode == CLAW_RECEIVE_OFF) return arm_hangup(loop, s, fd);
    if (s->flags & CLAW_SOCKET_OVER) return true;
    if (s->mode == CLAW_RECEIVE_READABLE) {
        if (s->flags & CLAW_SOCKET_READABLE) return arm_hangup(loop, s, fd);
        if (s->armed & ARMED_READ) return true;
        return claw_arm_poll(loop, s, fd, OP_POLL_READ, ARMED_READ, POLLIN | POLLRDHUP);
    }
    if (s->armed & SAW_END) return true;
    if (uring_of(loop)->lent_count > 0) return claw_arm_receive(loop, s, fd);
    claw_list_push(loop, CLAW_LIST_STARVED, fd);
    return true;
}

/// A secure socket reads for itself when a poll says so: its records lie where OpenSSL wants them, not in lent buffers.
static bool arm_secure(claw_loop *loop, claw_socket *s, int32_t fd) {
    if ((s->flags & CLAW_SOCKET_WANTS_WRITE) && !(s->armed & ARMED_WRITE))
        if (!claw_arm_poll(loop, s, fd, OP_POLL_WRITE, ARMED_WRITE, POLLOUT)) return false;
    if (claw_secure_wants_read(loop, s, fd))
        return (s->armed & ARMED_READ) || claw_arm_poll(loop, s, fd, OP_POLL_READ, ARMED_READ, POLLIN | POLLRDHUP);
    bool unread = s->mode == CLAW_RECEIVE_READABLE && (s->flags & CLAW_SOCKET_READABLE);
    return s->mode != CLAW_RECEIVE_OFF && !unread ? true : arm_hangup(loop, s, fd);
}

static void serve_stream(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch, bool arming) {
    if (s->flags & CLAW_SOCKET_SECURE) {
        claw_secure_serve(loop, s, fd, batch);
        if (!arming || !arm_secure(loop, s, fd)) claw_ready(loop, fd);
        return;
    }
    bool behind = !(s->armed & ARMED_RECEIVE) && (holds(s) || (s->armed & SAW_END));
    if (behind && s->mode == CLAW_RECEIVE_READABLE && !(s->flags & CLAW_SOCKET_OVER)) s->flags |= CLAW_SOCKET_READABLE;
    bool whole = claw_socket_notices(loop, s, fd, batch);
    if (whole && s->mode == CLAW_RECEIVE_BUFFERED && s->kind == CLAW_KIND_STREAM) {
        whole = surface_held(loop, s, fd, batch);
        if (whole && (s->armed & SAW_END) && !(s->flags & CLAW_SOCKET_OVER)) {
            whole = !claw_batch_full(batch);
            if (whole) claw_socket_over(s, fd, batch, 0);
        }
    }
    if (!arming || !arm_stream(loop, s, fd) || !whole) claw_ready(loop, fd);
}

static void serve_listener(claw_loop *loop, claw_socket *s, int32_t fd, bool arming) {
    if (s->armed & ARMED_ONLY) return;
    s->resume_ns = 0;
    if (!arming || !claw_arm_accept(loop, s, fd)) claw_ready(loop, fd);
}

static void serve_foreign(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch, bool arming) {
    bool whole = claw_foreign_serve(s, fd, batch);
    if (whole && (s->armed & ARMED_ONLY)) return;
    if (!whole || !arming || !claw_arm_poll(loop, s, fd, OP_WATCH, ARMED_ONLY, claw_foreign_mask(s))) claw_ready(loop, fd);
}

/// Before entering the kernel (arming) whoever is on the list gets its requests prepared; after it
/// events are only surfaced, and what must be armed for them stays on the list until the next wait.
static void serve_list(claw_loop *loop, claw_batch *batch, bool arming) {
    for (uint32_t left = loop->lists[CLAW_LIST_READY].count; left > 0; left--) {
        int32_t fd = claw_list_pop(loop, CLAW_LIST_READY);
        claw_socket *s = &loop->sockets[fd];
        switch (s->kind) {
        case CLAW_KIND_LISTENER: serve_listener(loop, s, fd, arming); break;
        case CLAW_KIND_FOREIGN: serve_foreign(loop, s, fd, batch, arming); break;
        case CLAW_KIND_STREAM: case CLAW_KIND_CONNECTING: serve_stream(loop, s, fd, batch, arming); break;
        default: break;
        }
    }
}

// ---- what the kernel says ------------------------------------------------------------------

static void on_received(claw_loop *loop, claw_socket *s, int32_t fd, const struct io_uring_cqe *cqe, claw_batch *batch) {
    bool more = cqe->flags & IORING_CQE_F_MORE;
    if (!more) s->armed &= (uint8_t)~(ARMED_RECEIVE | ARMED_CANCEL);
    if (cqe->res > 0) {
        uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (s->mode == CLAW_RECEIVE_BUFFERED && !holds(s)) {
            claw_event *event = claw_emit(batch, s, fd, CLAW_RECEIVED, cqe->res);
            event->buffer = buffer;
            if (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) event->flags = CLAW_MORE;
            if (more) return;
        } else {
            hold(loop, s, buffer, (uint32_t)cqe->res);
            if (s->mode == CLAW_RECEIVE_OFF) cancel_receive(loop, s, fd);
        }
    } else if (cqe->res == 0) {
        s->armed |= SAW_END;
        s->flags |= CLAW_SOCKET_ENDING;
    } else if (cqe->res != -ENOBUFS && cqe->res != -ECANCELED && cqe->res != -EINTR && cqe->res != -EAGAIN) {
        s->error = -cqe->res;
        s->armed |= SAW_END;
        s->flags |= CLAW_SOCKET_FAILED | CLAW_SOCKET_READABLE;
    }
    claw_ready(loop, fd);
}

static void on_accepted(claw_loop *loop, claw_socket *s, int32_t fd, const struct io_uring_cqe *cqe, claw_batch *batch) {
    int32_t result = cqe->res;
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        s->armed &= (uint8_t)~ARMED_ONLY;
        claw_ready(loop, fd);
    }
    if (result >= 0 && (uint32_t)result >= loop->sockets_count) {
        close(result);
        result = -EMFILE;
    }
    if (result >= 0) {
        claw_emit(batch, s, fd, CLAW_ACCEPTED, result);
    } else if (result != -ECANCELED && claw_accept_must_pause(-result)) {
        claw_emit(batch, s, fd, CLAW_ACCEPTED, result);
        if (!(s->armed & ARMED_ONLY)) claw_accept_pause(loop, fd);
    }
}

static void on_polled(claw_loop *loop, claw_socket *s, int32_t fd, uint32_t op, int32_t result) {
    uint8_t bit = op == OP_POLL_READ ? ARMED_READ : op == OP_POLL_WRITE ? ARMED_WRITE : ARMED_HANGUP;
    uint32_t mask = result >= 0 ? (uint32_t)result : result == -ECANCELED ? 0 : POLLERR;
    s->armed &= (uint8_t)~bit;
    claw_socket_note(loop, s, fd, mask);
    // Both sides ended in good order hangs up for ever; asking again would be answered at once.
    if (op == OP_POLL_HANGUP && (mask & (POLLERR | POLLHUP)) && !(s->flags & CLAW_SOCKET_FAILED)) s->armed |= bit;
    claw_ready(loop, fd);
}

static void on_watched(claw_loop *loop, claw_socket *s, int32_t fd, int32_t result) {
    // A request the kernel refuses (EBADF) stays marked, or it would be refused in every wait.
    if (result >= 0) s->armed &= (uint8_t)~ARMED_ONLY;
    claw_foreign_note(loop, s, fd, result >= 0 ? (uint32_t)result : POLLERR);
    claw_ready(loop, fd);
}

/// What comes for a descriptor that changed hands is dropped, but not what it carries.
static void drop(claw_loop *loop, const struct io_uring_cqe *cqe, uint32_t op) {
    if (op == OP_ACCEPT && cqe->res >= 0) close(cqe->res);
    if (cqe->flags & IORING_CQE_F_BUFFER) claw_buffer_release(loop, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
}

static void on_completion(claw_loop *loop, const struct io_uring_cqe *cqe, claw_batch *batch) {
    uint32_t op = (uint32_t)(cqe->user_data >> 56);
    if (cqe->flags & IORING_CQE_F_BUFFER) uring_of(loop)->lent_count--;
    if (op == OP_CANCEL) return;
    if (op == OP_WAKE) {
        if (!(cqe->flags & IORING_CQE_F_MORE)) uring_of(loop)->wake_armed = false;
        claw_loop_roused(loop);
        return;
    }
    int32_t fd = (int32_t)(uint32_t)cqe->user_data;
    claw_socket *s = &loop->sockets[fd];
    if (s->generation != ((uint32_t)(cqe->user_data >> 32) & 0xffffff) || s->kind == CLAW_KIND_NONE) {
        drop(loop, cqe, op);
        return;
    }
    switch (op) {
    case OP_RECEIVE: on_received(loop, s, fd, cqe, batch); break;
    case OP_ACCEPT: on_accepted(loop, s, fd, cqe, batch); break;
    case OP_WATCH: on_watched(loop, s, fd, cqe->res); break;
    default: on_polled(loop, s, fd, op, cqe->res); break;
    }
}

// ---- waiting -------------------------------------------------------------------------------

static int32_t turn(claw_loop *loop, claw_batch *batch, int64_t timeout_ns) {
    uring_state *state = uring_of(loop);
    int32_t result = state->enabled ? 0 : claw_ring_enable(state);
    if (result < 0) return result;
    claw_ring_lend(loop);
    if (!state->wake_armed) claw_arm_wake(loop);
    serve_list(loop, batch, true);
    result = claw_ring_enter(state, batch->count > 0 || claw_secure_busy(loop) ? 0 : timeout_ns);
    unsigned head, taken = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&state->ring, head, cqe) {
        if (claw_batch_full(batch)) break;
        on_completion(loop, cqe, batch);
        taken++;
    }
    io_uring_cq_advance(&state->ring, taken);
    serve_list(loop, batch, false);
    return result;
}

// ---- orders --------------------------------------------------------------------------------

static int32_t accept_start(claw_loop *loop, int32_t fd) {
    claw_accept_prepare(fd);
    claw_ready(loop, fd);
    return 0;
}

/// The request holds on to the listener's file, and the caller may be about to close it and bind the
/// port again: the cancellation must not wait for the next wait.
static void accept_stop(claw_loop *loop, int32_t fd) {
    uring_state *state = uring_of(loop);
    claw_socket *s = &loop->sockets[fd];
    if (!(s->armed & ARMED_ONLY) || !claw_arm_cancel(loop, s, fd, OP_ACCEPT)) return;
    io_uring_submit_and_get_events(&state->ring);
}

static int32_t attach(claw_loop *loop, int32_t fd) {
    claw_ready(loop, fd);
    return 0;
}

static int32_t connect_start(claw_loop *loop, const claw_address *address, uint64_t token) {
    bool pending;
    int32_t fd = claw_socket_connect(loop, address, token, &pending);
    if (fd >= 0) claw_ready(loop, fd);
    return fd;
}

static void receive(claw_loop *loop, int32_t fd, uint32_t mode_before) {
    claw_socket *s = &loop->sockets[fd];
    bool flying = (s->armed & (ARMED_RECEIVE | ARMED_CANCEL)) == ARMED_RECEIVE;
    bool buffered = s->mode != CLAW_RECEIVE_READABLE && mode_before != CLAW_RECEIVE_READABLE;
    // The receive stays in flight over a pause in which nothing comes.
    if (flying && buffered && !holds(s) && !(s->flags & CLAW_SOCKET_FAILED)) return;
    claw_ready(loop, fd);
}

/// Copies out of held buffers. Less than asked for makes the caller wait for the next READABLE, which
/// follows at once if the kernel holds more.
static int64_t recv_held(claw_loop *loop, claw_socket *s, int32_t fd, uint8_t *into, size_t length) {
    size_t copied = 0;
    while (holds(s) && copied < length) {
        uint32_t buffer = s->held_first;
        claw_held *held = &loop->pool.held[buffer];
        size_t n = held->length < length - copied ? held->length : length - copied;
        memcpy(into + copied, loop->pool.base + (size_t)buffer * loop->pool.bytes + held->offset, n);
        copied += n;
        held->offset += (uint32_t)n;
        held->length -= (uint32_t)n;
        if (held->length > 0) break;
        unhold(loop, s);
        claw_buffer_release(loop, buffer);
    }
    s->flags &= (uint16_t)~(CLAW_SOCKET_TOLD | CLAW_SOCKET_READABLE);
    if (copied == length) s->flags |= CLAW_SOCKET_READABLE;
    claw_ready(loop, fd);
    return (int64_t)copied;
}

static int64_t recv_plain(claw_loop *loop, int32_t fd, void *into, size_t length) {
    claw_socket *s = &loop->sockets[fd];
    if (holds(s)) return recv_held(loop, s, fd, into, length);
    if (s->armed & ARMED_RECEIVE) {
        // What the receive still brings goes before what recv would see.
        s->flags &= (uint16_t)~(CLAW_SOCKET_TOLD | CLAW_SOCKET_READABLE);
        return -EAGAIN;
    }
    int64_t n = claw_socket_recv(loop, fd, into, length);
    if (!(s->flags & CLAW_SOCKET_READABLE)) claw_ready(loop, fd);
    return n;
}

static int64_t send_plain(claw_loop *loop, int32_t fd, const claw_slice *slices, int32_t count) {
    int64_t n = claw_socket_send(loop, fd, slices, count);
    claw_socket *s = &loop->sockets[fd];
    if ((s->flags & CLAW_SOCKET_WANTS_WRITE) && !(s->armed & ARMED_WRITE)) claw_ready(loop, fd);
    return n;
}

/// Requests in flight hold the socket's file, so closing the descriptor alone would neither send FIN nor
/// free anything. Ending the connection completes them; what they complete with is dropped.
static void close_socket(claw_loop *loop, int32_t fd, bool reset) {
    claw_socket *s = &loop->sockets[fd];
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (s->armed & (ARMED_RECEIVE | ARMED_READ | ARMED_WRITE | ARMED_HANGUP)) {
        // Connecting to nothing dissolves a TCP connection with RST at once.
        struct sockaddr nothing = { .sa_family = AF_UNSPEC };
        if (reset) connect(fd, &nothing, sizeof nothing);
        shutdown(fd, SHUT_RDWR);
    }
    close(fd);
    while (holds(s)) claw_buffer_release(loop, unhold(loop, s));
}

static int32_t watch(claw_loop *loop, int32_t fd, uint32_t interest_before) {
    claw_socket *s = &loop->sockets[fd];
    (void)interest_before;
    if (s->armed & ARMED_ONLY) {
        claw_arm_cancel(loop, s, fd, OP_WATCH);
        s->generation = (s->generation + 1) & 0xffffff;
        s->armed &= (uint8_t)~ARMED_ONLY;
    }
    if (s->interest != 0) claw_ready(loop, fd);
    return 0;
}

static const claw_backend uring_backend = {
    .wait = turn, .accept_start = accept_start, .accept_stop = accept_stop, .attach = attach,
    .connect = connect_start, .receive = receive, .recv = recv_plain, .send = send_plain,
    .shutdown_send = claw_socket_shutdown_send, .close = close_socket, .watch = watch,
    .resolve = claw_resolver_ask, .destroy = claw_ring_destroy,
};

int32_t claw_uring_create(claw_loop *loop) {
    int32_t result = claw_ring_create(loop);
    if (result == 0) loop->backend = &uring_backend;
    return result;
}
