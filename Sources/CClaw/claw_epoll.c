// The epoll backend. A stream is registered once, edge-triggered for both directions, and never
// touched again: what the edges said is kept in its record, and the reads are done here when
// its receive mode asks for them. Listeners and foreign descriptors are level-triggered.
#include "claw_secure.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { KERNEL_EVENTS = 256, ACCEPTS_PER_WAKE = 64, READS_PER_WAIT = 4 };
#define WAKE_DATA UINT64_MAX

typedef struct epoll_state {
    int32_t fd;
    bool old_kernel;   // no epoll_pwait2 (before 5.11): time-outs are rounded up to milliseconds
    struct epoll_event events[KERNEL_EVENTS];
} epoll_state;

static epoll_state *state_of(claw_loop *loop) { return loop->state; }

static int32_t control(claw_loop *loop, int32_t operation, int32_t fd, uint32_t events) {
    struct epoll_event event = { .events = events };
    event.data.u64 = (uint64_t)loop->sockets[fd].generation << 32 | (uint32_t)fd;
    return epoll_ctl(state_of(loop)->fd, operation, fd, &event) == 0 ? 0 : -errno;
}

/// Adds, or takes over what a forgotten registration of the same descriptor left behind.
static int32_t enrol(claw_loop *loop, int32_t fd, uint32_t events) {
    int32_t result = control(loop, EPOLL_CTL_ADD, fd, events);
    return result == -EEXIST ? control(loop, EPOLL_CTL_MOD, fd, events) : result;
}

// ---- what the kernel says ------------------------------------------------------------------

static void note(claw_loop *loop, const struct epoll_event *event) {
    if (event->data.u64 == WAKE_DATA) {
        claw_loop_roused(loop);
        return;
    }
    int32_t fd = (int32_t)(uint32_t)event->data.u64;
    claw_socket *s = &loop->sockets[fd];
    if (s->generation != (uint32_t)(event->data.u64 >> 32)) return;
    switch (s->kind) {
    case CLAW_KIND_LISTENER: if (s->list != CLAW_LIST_PAUSED) claw_ready(loop, fd); break;
    case CLAW_KIND_FOREIGN: claw_foreign_note(loop, s, fd, event->events); break;
    case CLAW_KIND_STREAM: case CLAW_KIND_CONNECTING: claw_socket_note(loop, s, fd, event->events); break;
    default: break;
    }
}

// ---- serving what is ready -----------------------------------------------------------------

static void serve_listener(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch) {
    if (s->resume_ns != 0) {
        s->resume_ns = 0;
        enrol(loop, fd, EPOLLIN);
    }
    for (int i = 0; i < ACCEPTS_PER_WAKE && !claw_batch_full(batch);) {
        int connection = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int error = connection < 0 ? errno : 0;
        if (error == EAGAIN || error == EWOULDBLOCK) return;
        if (error == 0 && (uint32_t)connection >= loop->sockets_count) {
            close(connection);
            error = EMFILE;
        }
        if (error != 0 && !claw_accept_must_pause(error)) {
            i++;
            continue;
        }
        claw_emit(batch, s, fd, CLAW_ACCEPTED, error == 0 ? connection : -error);
        if (error != 0) {
            control(loop, EPOLL_CTL_DEL, fd, 0);
            claw_accept_pause(loop, fd);
            return;
        }
        i++;
    }
}

/// Reads into buffers until a read comes back short, which says that nothing is left, so that the
/// usual message costs one recv and not a second one to hear EAGAIN. Only when the end is known to be
/// near must it read on to see it.
static void serve_bytes(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch) {
    // One buffer at first: its reader may want the rest elsewhere (claw_recv into a large body). A stream that goes on gets more.
    int reads_max = s->flags & CLAW_SOCKET_FLOWING ? READS_PER_WAIT : 1;
    for (int reads = 0; s->flags & CLAW_SOCKET_READABLE; reads++) {
        if (reads == reads_max || claw_batch_full(batch)) {
            claw_ready(loop, fd);
            return;
        }
        uint32_t buffer = claw_buffer_take(loop);
        if (buffer == CLAW_NO_BUFFER_VALUE) {
            claw_list_push(loop, CLAW_LIST_STARVED, fd);
            return;
        }
        size_t room = loop->pool.bytes;
        ssize_t n = recv(fd, loop->pool.base + (size_t)buffer * room, room, MSG_DONTWAIT);
        if (n <= 0) {
            int error = n < 0 ? errno : 0;
            claw_buffer_release(loop, buffer);
            if (error == EINTR) continue;
            if (error == EAGAIN || error == EWOULDBLOCK) s->flags &= (uint16_t)~CLAW_SOCKET_READABLE;
            else claw_socket_over(s, fd, batch, error);
            continue;
        }
        claw_event *event = claw_emit(batch, s, fd, CLAW_RECEIVED, (int32_t)n);
        event->buffer = buffer;
        if ((size_t)n == room) {
            event->flags = CLAW_MORE;
            s->flags |= CLAW_SOCKET_FLOWING;
        } else if (!(s->flags & (CLAW_SOCKET_ENDING | CLAW_SOCKET_FAILED))) {
            s->flags &= (uint16_t)~(CLAW_SOCKET_READABLE | CLAW_SOCKET_FLOWING);
        }
    }
}

static void serve(claw_loop *loop, int32_t fd, claw_batch *batch) {
    claw_socket *s = &loop->sockets[fd];
    switch (s->kind) {
    case CLAW_KIND_LISTENER: serve_listener(loop, s, fd, batch); return;
    case CLAW_KIND_FOREIGN: if (!claw_foreign_serve(s, fd, batch)) claw_ready(loop, fd); return;
    case CLAW_KIND_STREAM: case CLAW_KIND_CONNECTING: break;
    default: return;
    }
    if (s->flags & CLAW_SOCKET_SECURE) {
        claw_secure_serve(loop, s, fd, batch);
        return;
    }
    if (!claw_socket_notices(loop, s, fd, batch)) {
        claw_ready(loop, fd);
        return;
    }
    if (s->kind == CLAW_KIND_STREAM && s->mode == CLAW_RECEIVE_BUFFERED && !(s->flags & CLAW_SOCKET_OVER))
        serve_bytes(loop, s, fd, batch);
}

// ---- waiting -------------------------------------------------------------------------------

static int kernel_wait(epoll_state *state, int64_t timeout_ns) {
    if (timeout_ns == 0) return epoll_wait(state->fd, state->events, KERNEL_EVENTS, 0);
    if (timeout_ns < 0) return epoll_wait(state->fd, state->events, KERNEL_EVENTS, -1);
    if (!state->old_kernel) {
        struct timespec t = { .tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000 };
        int n = epoll_pwait2(state->fd, state->events, KERNEL_EVENTS, &t, NULL);
        if (n >= 0 || errno != ENOSYS) return n;
        state->old_kernel = true;
    }
    int64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    return epoll_wait(state->fd, state->events, KERNEL_EVENTS, ms > INT32_MAX ? INT32_MAX : (int)ms);
}

static int32_t turn(claw_loop *loop, claw_batch *batch, int64_t timeout_ns) {
    epoll_state *state = state_of(loop);
    int n = kernel_wait(state, loop->lists[CLAW_LIST_READY].count > 0 ? 0 : timeout_ns);
    int error = n < 0 ? errno : 0;
    for (int i = 0; i < n; i++) note(loop, &state->events[i]);
    // Who is put back on the list while this runs has had its turn.
    for (uint32_t left = loop->lists[CLAW_LIST_READY].count; left > 0 && !claw_batch_full(batch); left--)
        serve(loop, claw_list_pop(loop, CLAW_LIST_READY), batch);
    return -error;
}

// ---- orders --------------------------------------------------------------------------------

static int32_t accept_start(claw_loop *loop, int32_t fd) {
    claw_accept_prepare(fd);
    return enrol(loop, fd, EPOLLIN);
}

static void accept_stop(claw_loop *loop, int32_t fd) { control(loop, EPOLL_CTL_DEL, fd, 0); }

#define STREAM_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static int32_t attach(claw_loop *loop, int32_t fd) { return enrol(loop, fd, STREAM_EVENTS); }

static int32_t connect_start(claw_loop *loop, const claw_address *address, uint64_t token) {
    bool pending;
    int32_t fd = claw_socket_connect(loop, address, token, &pending);
    if (fd < 0) return fd;
    // A socket whose connecting failed already would only report that it hangs.
    int32_t result = pending || loop->sockets[fd].error == 0 ? enrol(loop, fd, STREAM_EVENTS) : 0;
    if (result == 0) return fd;
    claw_socket_end(loop, fd);
    close(fd);
    return result;
}

static void receive(claw_loop *loop, int32_t fd, uint32_t mode_before) {
    (void)mode_before;
    if (loop->sockets[fd].flags & (CLAW_SOCKET_READABLE | CLAW_SOCKET_ENDING | CLAW_SOCKET_FAILED)) claw_ready(loop, fd);
}

static void close_socket(claw_loop *loop, int32_t fd, bool reset) {
    (void)loop;
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

static int32_t watch(claw_loop *loop, int32_t fd, uint32_t interest_before) {
    uint32_t events = claw_foreign_mask(&loop->sockets[fd]);
    if (events == 0) return control(loop, EPOLL_CTL_DEL, fd, 0);
    if (interest_before == 0) return enrol(loop, fd, events);
    int32_t result = control(loop, EPOLL_CTL_MOD, fd, events);
    // The owner closed it and opened another under the same number without stopping the watch.
    return result == -ENOENT ? control(loop, EPOLL_CTL_ADD, fd, events) : result;
}

static void destroy(claw_loop *loop) {
    close(state_of(loop)->fd);
    free(loop->state);
}

static const claw_backend epoll_backend = {
    .wait = turn, .accept_start = accept_start, .accept_stop = accept_stop, .attach = attach,
    .connect = connect_start, .receive = receive, .recv = claw_socket_recv, .send = claw_socket_send,
    .shutdown_send = claw_socket_shutdown_send, .close = close_socket, .watch = watch,
    .resolve = claw_resolver_ask, .destroy = destroy,
};

int32_t claw_epoll_create(claw_loop *loop) {
    epoll_state *state = calloc(1, sizeof *state);
    if (state == NULL) return -ENOMEM;
    state->fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = WAKE_DATA };
    // Edge-triggered, the eventfd need not be read: each write is an edge.
    if (state->fd < 0 || epoll_ctl(state->fd, EPOLL_CTL_ADD, loop->wake_fd, &event) != 0) {
        int error = errno;
        if (state->fd >= 0) close(state->fd);
        free(state);
        return -error;
    }
    loop->state = state;
    loop->backend = &epoll_backend;
    return 0;
}
