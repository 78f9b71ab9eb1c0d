// The loop as its callers see it: checks arguments, keeps the token of each descriptor, and hands
// on to the backend. Waiting is here too, with what is common to all backends: waking, names,
// listeners that sleep and sockets that wait for a buffer.
#include "claw_secure.h"
#include <errno.h>
#include <sys/socket.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t claw_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// ---- creating and destroying ---------------------------------------------------------------

static int32_t table_create(claw_loop *loop) {
    struct rlimit limit;
    uint64_t count = CLAW_SOCKETS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < count) count = limit.rlim_max;
    if (count < 1024) count = 1024;
    // The played backend numbers its descriptors itself and takes no number twice.
    if (loop->backend_id == CLAW_BACKEND_PLAYED) count = CLAW_SOCKETS_MAX;
    void *at = mmap(NULL, count * sizeof(claw_socket), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return -ENOMEM;
    loop->sockets = at;
    loop->sockets_count = (uint32_t)count;
    loop->sockets_highest = -1;
    for (int i = 0; i < CLAW_LISTS; i++) loop->lists[i] = (claw_list){ .first = -1, .last = -1 };
    return 0;
}

static void loop_free(claw_loop *loop) {
    if (loop->wake_fd >= 0) close(loop->wake_fd);
    if (loop->sockets != NULL) munmap(loop->sockets, loop->sockets_count * sizeof(claw_socket));
    claw_pool_destroy(&loop->pool);
    free(loop);
}

static int32_t backend_create(claw_loop *loop, uint32_t wanted, int32_t *fallback) {
    if (wanted == CLAW_BACKEND_PLAYED) return claw_played_create(loop);
    if (wanted != CLAW_BACKEND_EPOLL) {
        const char *without = getenv("OPENCLAW_NO_URING");
        int32_t result = without != NULL && strcmp(without, "1") == 0 ? -ENOSYS : claw_uring_create(loop);
        if (result == 0) {
            loop->backend_id = CLAW_BACKEND_URING;
            return 0;
        }
        *fallback = -result;
    }
    loop->backend_id = CLAW_BACKEND_EPOLL;
    return claw_epoll_create(loop);
}

int32_t claw_loop_create(const claw_loop_options *options, claw_loop **out, int32_t *fallback_errno) {
    int32_t fallback = 0;
    *out = NULL;
    if (fallback_errno != NULL) *fallback_errno = 0;
    if (options->backend > CLAW_BACKEND_PLAYED) return -EINVAL;
    claw_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) return -ENOMEM;
    loop->wake_fd = -1;
    loop->backend_id = options->backend;
    int32_t result = claw_pool_create(&loop->pool, options->buffer_bytes, options->buffer_count);
    if (result == 0) result = table_create(loop);
    if (result == 0 && options->backend != CLAW_BACKEND_PLAYED) {
        loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (loop->wake_fd < 0) result = -errno;
    }
    if (result == 0) result = backend_create(loop, options->backend, &fallback);
    if (result != 0) {
        loop_free(loop);
        return result;
    }
    if (options->backend != CLAW_BACKEND_PLAYED) loop->now = claw_clock();
    if (fallback_errno != NULL) *fallback_errno = fallback;
    *out = loop;
    return 0;
}

void claw_loop_destroy(claw_loop *loop) {
    if (loop == NULL) return;
    claw_resolver_destroy(loop);
    for (int32_t fd = 0; fd <= loop->sockets_highest; fd++)
        if (claw_stream_at(loop, fd) != NULL) claw_close(loop, fd, 0);
    claw_secure_destroy(loop);
    loop->backend->destroy(loop);
    loop_free(loop);
}

uint32_t claw_loop_backend(const claw_loop *loop) { return loop->backend_id; }
uint64_t claw_loop_now(const claw_loop *loop) { return loop->now; }

// ---- waking --------------------------------------------------------------------------------

/// Only the first reason since the last wait costs a system call.
void claw_loop_rouse(claw_loop *loop, uint32_t why) {
    if (__atomic_fetch_or(&loop->wake_bits, why, __ATOMIC_ACQ_REL) != 0) return;
    if (loop->wake_fd < 0) return;
    uint64_t one = 1;
    while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {}
}

void claw_loop_wake(claw_loop *loop) { claw_loop_rouse(loop, CLAW_WAKE_USER); }

void claw_loop_roused(claw_loop *loop) {
    uint32_t why = __atomic_exchange_n(&loop->wake_bits, 0, __ATOMIC_ACQ_REL);
    if (why & CLAW_WAKE_USER) loop->woken = true;
    if (why & CLAW_WAKE_RESOLVER) loop->resolved = true;
}

// ---- waiting -------------------------------------------------------------------------------

static void surface_common(claw_loop *loop, claw_batch *batch) {
    if (loop->woken && !claw_batch_full(batch)) {
        loop->woken = false;
        batch->events[batch->count++] = (claw_event){ .buffer = CLAW_NO_BUFFER_VALUE, .fd = -1, .kind = CLAW_WOKEN };
    }
    if (loop->resolved) claw_resolver_collect(loop, batch);
}

/// One look at the kernel. What is ready already must not wait for what is not.
static int32_t wait_turn(claw_loop *loop, claw_batch *batch, int64_t timeout_ns) {
    surface_common(loop, batch);
    if (claw_batch_full(batch)) return 0;
    if (loop->lists[CLAW_LIST_PAUSED].count > 0) timeout_ns = claw_accept_resume(loop, timeout_ns);
    if (loop->lists[CLAW_LIST_STARVED].count > 0 && !claw_pool_empty(&loop->pool))
        while (loop->lists[CLAW_LIST_STARVED].count > 0) claw_ready(loop, loop->lists[CLAW_LIST_STARVED].first);
    if (loop->secures != NULL) claw_secure_turn(loop);
    int32_t result = loop->backend->wait(loop, batch, batch->count > 0 ? 0 : timeout_ns);
    if (loop->woken || loop->resolved) surface_common(loop, batch);
    return result;
}

int32_t claw_loop_wait(claw_loop *loop, claw_event *events, int32_t capacity, int64_t timeout_ns) {
    if (capacity <= 0) return -EINVAL;
    claw_batch batch = { .events = events, .capacity = capacity };
    if (loop->backend_id == CLAW_BACKEND_PLAYED) {
        wait_turn(loop, &batch, 0);
        return batch.count;
    }
    uint64_t deadline = 0;
    if (timeout_ns > 0 && __builtin_add_overflow(claw_clock(), (uint64_t)timeout_ns, &deadline)) deadline = UINT64_MAX;
    for (;;) {
        int32_t result = wait_turn(loop, &batch, timeout_ns);
        loop->now = claw_clock();
        if (batch.count > 0) return batch.count;
        if (result < 0) return result == -EINTR ? 0 : result;
        // Nothing to report: a stale event, or a listener's hour. Go back for what is left of the time.
        if (timeout_ns == 0 || (timeout_ns > 0 && loop->now >= deadline)) return 0;
        if (timeout_ns > 0) timeout_ns = (int64_t)(deadline - loop->now);
    }
}

// ---- sockets -------------------------------------------------------------------------------

static inline bool is_secure(const claw_loop *loop, int32_t fd) { return loop->sockets[fd].flags & CLAW_SOCKET_SECURE; }

int32_t claw_accept_start(claw_loop *loop, int32_t fd, uint64_t token) {
    claw_socket *s = claw_socket_at(loop, fd);
    if (s == NULL) return -EBADF;
    if (s->kind != CLAW_KIND_NONE) return -EEXIST;
    claw_socket_begin(loop, fd, CLAW_KIND_LISTENER, token)->resume_ns = 0;
    int32_t result = loop->backend->accept_start(loop, fd);
    if (result != 0) claw_socket_end(loop, fd);
    return result;
}

int32_t claw_accept_stop(claw_loop *loop, int32_t fd) {
    claw_socket *s = claw_socket_at(loop, fd);
    if (s == NULL || s->kind != CLAW_KIND_LISTENER) return -EBADF;
    loop->backend->accept_stop(loop, fd);
    claw_socket_end(loop, fd);
    return 0;
}

int32_t claw_attach(claw_loop *loop, int32_t fd, uint64_t token) {
    claw_socket *s = claw_socket_at(loop, fd);
    if (s == NULL) return -EBADF;
    // A record still watched as foreign belongs to a descriptor its owner closed without telling.
    if (s->kind != CLAW_KIND_NONE && s->kind != CLAW_KIND_FOREIGN) return -EEXIST;
    claw_socket_begin(loop, fd, CLAW_KIND_STREAM, token);
    int32_t result = loop->backend->attach(loop, fd);
    if (result != 0) claw_socket_end(loop, fd);
    return result;
}

int32_t claw_connect(claw_loop *loop, const claw_address *address, uint64_t token) {
    return loop->backend->connect(loop, address, token);
}

int32_t claw_retoken(claw_loop *loop, int32_t fd, uint64_t token) {
    claw_socket *s = claw_stream_at(loop, fd);
    if (s == NULL) return -EBADF;
    s->token = token;
    return 0;
}

int32_t claw_receive(claw_loop *loop, int32_t fd, uint32_t mode) {
    claw_socket *s = claw_stream_at(loop, fd);
    if (s == NULL) return -EBADF;
    if (mode > CLAW_RECEIVE_READABLE) return -EINVAL;
    if (s->mode == mode) return 0;
    uint32_t before = s->mode;
    s->mode = (uint8_t)mode;
    s->flags &= (uint16_t)~(CLAW_SOCKET_TOLD | CLAW_SOCKET_FLOWING);
    loop->backend->receive(loop, fd, before);
    return 0;
}

int64_t claw_recv(claw_loop *loop, int32_t fd, void *into, size_t length) {
    if (claw_stream_at(loop, fd) == NULL) return -EBADF;
    if (length == 0) return -EINVAL;
    if (is_secure(loop, fd)) return claw_secure_recv(loop, fd, into, length);
    return loop->backend->recv(loop, fd, into, length);
}

int32_t claw_receive_at_least(claw_loop *loop, int32_t fd, uint32_t bytes) {
    if (claw_stream_at(loop, fd) == NULL) return -EBADF;
    if (claw_loop_backend(loop) == CLAW_BACKEND_PLAYED) return 0;
    if (is_secure(loop, fd)) bytes = claw_secure_at_least(loop, fd, bytes);
    int value = bytes > INT32_MAX ? INT32_MAX : (int)bytes;
    return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value) == 0 ? 0 : -errno;
}

int64_t claw_send(claw_loop *loop, int32_t fd, const claw_slice *slices, int32_t count) {
    if (claw_stream_at(loop, fd) == NULL) return -EBADF;
    if (count <= 0 || count > CLAW_SEND_SLICES_MAX) return count == 0 ? 0 : -EINVAL;
    if (is_secure(loop, fd)) return claw_secure_send(loop, fd, slices, count);
    return loop->backend->send(loop, fd, slices, count);
}

int32_t claw_shutdown_send(claw_loop *loop, int32_t fd) {
    if (claw_stream_at(loop, fd) == NULL) return -EBADF;
    if (is_secure(loop, fd)) return claw_secure_shutdown_send(loop, fd);
    return loop->backend->shutdown_send(loop, fd);
}

int32_t claw_close(claw_loop *loop, int32_t fd, int32_t reset) {
    if (claw_stream_at(loop, fd) == NULL) return -EBADF;
    if (is_secure(loop, fd)) claw_secure_close(loop, fd, reset != 0);
    loop->backend->close(loop, fd, reset != 0);
    claw_socket_end(loop, fd);
    return 0;
}

int32_t claw_watch(claw_loop *loop, int32_t fd, uint32_t interest, uint64_t token) {
    claw_socket *s = claw_socket_at(loop, fd);
    if (s == NULL) return -EBADF;
    if (interest & ~(uint32_t)(CLAW_READ | CLAW_WRITE)) return -EINVAL;
    if (s->kind != CLAW_KIND_FOREIGN && s->kind != CLAW_KIND_NONE) return -EEXIST;
    uint32_t before = s->kind == CLAW_KIND_FOREIGN ? s->interest : 0;
    if (before == 0 && interest == 0) return 0;
    if (before == 0) s = claw_socket_begin(loop, fd, CLAW_KIND_FOREIGN, token);
    s->token = token;
    s->interest = (uint8_t)interest;
    s->pending &= (uint8_t)(interest | CLAW_ERROR);
    int32_t result = before == interest ? 0 : loop->backend->watch(loop, fd, before);
    if (interest == 0 || result != 0) claw_socket_end(loop, fd);
    return interest == 0 ? 0 : result;
}

int32_t claw_resolve(claw_loop *loop, const char *host, uint16_t port, uint64_t token) {
    return loop->backend->resolve(loop, host, port, token);
}
