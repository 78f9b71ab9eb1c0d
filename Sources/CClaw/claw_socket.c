// The socket table and what both kernel backends do alike: lists of records, opening, sending and
// reading without blocking, and surfacing the notices of a stream that are not bytes.
#include "claw_secure.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

// ---- records and lists ---------------------------------------------------------------------

claw_socket *claw_socket_begin(claw_loop *loop, int32_t fd, uint8_t kind, uint64_t token) {
    claw_socket *s = &loop->sockets[fd];
    if (s->list != CLAW_LIST_NONE) claw_list_remove(loop, fd);
    uint32_t generation = (s->generation + 1) & 0xffffff;
    *s = (claw_socket){
        .token = token, .generation = generation, .next = -1, .prev = -1, .kind = kind,
        .held_first = CLAW_NO_BUFFER_VALUE, .held_last = CLAW_NO_BUFFER_VALUE,
    };
    if (fd > loop->sockets_highest) loop->sockets_highest = fd;
    return s;
}

void claw_socket_end(claw_loop *loop, int32_t fd) {
    claw_socket *s = &loop->sockets[fd];
    if (s->list != CLAW_LIST_NONE) claw_list_remove(loop, fd);
    s->generation = (s->generation + 1) & 0xffffff;
    s->kind = CLAW_KIND_NONE;
    s->flags = 0;
}

void claw_list_push(claw_loop *loop, uint8_t list, int32_t fd) {
    claw_socket *s = &loop->sockets[fd];
    if (s->list == list) return;
    if (s->list != CLAW_LIST_NONE) claw_list_remove(loop, fd);
    claw_list *l = &loop->lists[list];
    s->list = list;
    s->next = -1;
    s->prev = l->last;
    if (l->last >= 0) loop->sockets[l->last].next = fd;
    else l->first = fd;
    l->last = fd;
    l->count++;
}

void claw_list_remove(claw_loop *loop, int32_t fd) {
    claw_socket *s = &loop->sockets[fd];
    if (s->list == CLAW_LIST_NONE) return;
    claw_list *l = &loop->lists[s->list];
    if (s->prev >= 0) loop->sockets[s->prev].next = s->next;
    else l->first = s->next;
    if (s->next >= 0) loop->sockets[s->next].prev = s->prev;
    else l->last = s->prev;
    l->count--;
    s->list = CLAW_LIST_NONE;
    s->next = s->prev = -1;
}

int32_t claw_list_pop(claw_loop *loop, uint8_t list) {
    int32_t fd = loop->lists[list].first;
    if (fd >= 0) claw_list_remove(loop, fd);
    return fd;
}

// ---- notices -------------------------------------------------------------------------------

static bool notice_connected(claw_socket *s, int32_t fd, claw_batch *batch) {
    if (claw_batch_full(batch)) return false;
    s->flags &= (uint16_t)~CLAW_SOCKET_CONNECTED;
    s->kind = CLAW_KIND_STREAM;
    claw_emit(batch, s, fd, CLAW_CONNECTED, -s->error);
    if (s->error != 0) s->flags |= CLAW_SOCKET_OVER | CLAW_SOCKET_HUNG_ERROR;
    return true;
}

static bool notice_hung(claw_socket *s, int32_t fd, claw_batch *batch, uint16_t mark, int32_t result) {
    if (claw_batch_full(batch)) return false;
    s->flags |= mark;
    claw_emit(batch, s, fd, CLAW_HUNGUP, result);
    return true;
}

/// The bytes that came before an end go first: in readable mode a broken connection is at first only
/// readable, and HUNGUP follows a turn later if the caller did not read up to the error meanwhile.
static bool notice_readable(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch) {
    if (s->flags & CLAW_SOCKET_OVER) return true;
    if ((s->flags & CLAW_SOCKET_READABLE) && !(s->flags & CLAW_SOCKET_TOLD)) {
        if (claw_batch_full(batch)) return false;
        s->flags |= CLAW_SOCKET_TOLD;
        claw_emit(batch, s, fd, CLAW_READABLE, 0);
        if ((s->flags & CLAW_SOCKET_FAILED) && !(s->flags & CLAW_SOCKET_HUNG_ERROR)) claw_ready(loop, fd);
        return true;
    }
    if ((s->flags & CLAW_SOCKET_FAILED) && !(s->flags & CLAW_SOCKET_HUNG_ERROR))
        return notice_hung(s, fd, batch, CLAW_SOCKET_HUNG_ERROR, -s->error);
    return true;
}

static bool notice_paused(claw_socket *s, int32_t fd, claw_batch *batch) {
    if ((s->flags & CLAW_SOCKET_FAILED) && !(s->flags & CLAW_SOCKET_HUNG_ERROR))
        return notice_hung(s, fd, batch, CLAW_SOCKET_HUNG_ERROR, -s->error);
    uint16_t silent = CLAW_SOCKET_OVER | CLAW_SOCKET_HUNG | CLAW_SOCKET_HUNG_ERROR;
    if ((s->flags & CLAW_SOCKET_ENDING) && !(s->flags & silent))
        return notice_hung(s, fd, batch, CLAW_SOCKET_HUNG, 0);
    return true;
}

bool claw_socket_notices(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch) {
    if ((s->flags & CLAW_SOCKET_CONNECTED) && !notice_connected(s, fd, batch)) return false;
    if (s->kind != CLAW_KIND_STREAM) return true;
    if (s->mode == CLAW_RECEIVE_READABLE && !notice_readable(loop, s, fd, batch)) return false;
    if (s->mode == CLAW_RECEIVE_OFF && !notice_paused(s, fd, batch)) return false;
    if (s->flags & CLAW_SOCKET_WRITABLE) {
        if (claw_batch_full(batch)) return false;
        s->flags &= (uint16_t)~CLAW_SOCKET_WRITABLE;
        claw_emit(batch, s, fd, CLAW_WRITABLE, 0);
    }
    return true;
}

/// Reading SO_ERROR clears it in the kernel, so it must be kept: recv will show a plain end after this.
void claw_socket_fail(claw_socket *s, int32_t fd) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error == 0) return;
    s->error = error;
    s->flags |= CLAW_SOCKET_FAILED | CLAW_SOCKET_READABLE;
}

/// Keeps what a readiness mask (poll's and epoll's are the same bits) says of a stream.
void claw_socket_note(claw_loop *loop, claw_socket *s, int32_t fd, uint32_t mask) {
    if (s->kind == CLAW_KIND_CONNECTING && !(s->flags & CLAW_SOCKET_CONNECTED)) {
        if (!(mask & (POLLOUT | POLLERR | POLLHUP))) return;
        s->flags |= CLAW_SOCKET_CONNECTED;
        claw_socket_fail(s, fd);
        s->flags &= (uint16_t)~CLAW_SOCKET_FAILED;
    } else if (mask & POLLERR) {
        claw_socket_fail(s, fd);
    }
    if (mask & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) s->flags |= CLAW_SOCKET_READABLE;
    if (mask & (POLLRDHUP | POLLHUP)) s->flags |= CLAW_SOCKET_ENDING;
    if ((mask & (POLLOUT | POLLERR | POLLHUP)) && (s->flags & CLAW_SOCKET_WANTS_WRITE))
        s->flags = (uint16_t)((s->flags | CLAW_SOCKET_WRITABLE) & ~CLAW_SOCKET_WANTS_WRITE);
    if (s->flags & CLAW_SOCKET_SECURE) claw_secure_note(loop, s, fd, mask);
    claw_ready(loop, fd);
}

/// Surfaces the end of what the peer sent; an error met now goes before one noted earlier.
void claw_socket_over(claw_socket *s, int32_t fd, claw_batch *batch, int32_t error) {
    if (error != 0) s->error = error;
    s->flags = (uint16_t)((s->flags | CLAW_SOCKET_OVER) & ~CLAW_SOCKET_READABLE);
    if (s->error != 0) s->flags |= CLAW_SOCKET_HUNG_ERROR;
    claw_emit(batch, s, fd, CLAW_RECEIVED, -s->error);
}

// ---- foreign descriptors -------------------------------------------------------------------

uint32_t claw_foreign_mask(const claw_socket *s) {
    return (s->interest & CLAW_READ ? POLLIN : 0u) | (s->interest & CLAW_WRITE ? POLLOUT : 0u);
}

void claw_foreign_note(claw_loop *loop, claw_socket *s, int32_t fd, uint32_t mask) {
    uint8_t readiness = 0;
    // A pipe whose other end is gone only hangs up, and its owner must read to see the end.
    if (mask & (POLLIN | POLLRDHUP | POLLHUP)) readiness |= CLAW_READ;
    if (mask & POLLOUT) readiness |= CLAW_WRITE;
    readiness &= s->interest;
    if (mask & (POLLERR | POLLHUP)) readiness |= CLAW_ERROR;
    s->pending = readiness;
    if (readiness != 0) claw_ready(loop, fd);
}

bool claw_foreign_serve(claw_socket *s, int32_t fd, claw_batch *batch) {
    if (s->pending == 0) return true;
    if (claw_batch_full(batch)) return false;
    claw_emit(batch, s, fd, CLAW_READY, s->pending);
    s->pending = 0;
    return true;
}

// ---- system calls on streams ---------------------------------------------------------------

static void no_delay(int32_t fd, uint32_t family) {
    int on = 1;
    if (family == AF_INET || family == AF_INET6) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int32_t claw_socket_connect(claw_loop *loop, const claw_address *address, uint64_t token, bool *pending) {
    if (address->length < sizeof(sa_family_t) || address->length > sizeof address->bytes) return -EINVAL;
    int fd = socket((int)address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if ((uint32_t)fd >= loop->sockets_count) {
        close(fd);
        return -EMFILE;
    }
    no_delay(fd, address->family);
    claw_socket *s = claw_socket_begin(loop, fd, CLAW_KIND_CONNECTING, token);
    int result = connect(fd, (const struct sockaddr *)address->bytes, address->length);
    *pending = result != 0 && (errno == EINPROGRESS || errno == EINTR);
    if (!*pending) {
        s->error = result == 0 ? 0 : errno;
        s->flags |= CLAW_SOCKET_CONNECTED;
        claw_ready(loop, fd);
    }
    return fd;
}

/// After a read that took everything there was: the next readiness is news again.
static void drained(claw_loop *loop, claw_socket *s, int32_t fd) {
    s->flags &= (uint16_t)~(CLAW_SOCKET_READABLE | CLAW_SOCKET_TOLD);
    uint16_t other = CLAW_SOCKET_WRITABLE | CLAW_SOCKET_CONNECTED | CLAW_SOCKET_FAILED;
    if (s->list == CLAW_LIST_READY && !(s->flags & other)) claw_list_remove(loop, fd);
}

int64_t claw_socket_recv_done(claw_loop *loop, int32_t fd, int64_t n, size_t length) {
    claw_socket *s = &loop->sockets[fd];
    if (n == -EAGAIN) {
        drained(loop, s, fd);
        return -EAGAIN;
    }
    if (n <= 0) {
        if (n < 0) s->error = (int32_t)-n;
        drained(loop, s, fd);
        s->flags |= CLAW_SOCKET_OVER;
        if (s->error != 0) s->flags |= CLAW_SOCKET_HUNG_ERROR;
        return -s->error;
    }
    if ((size_t)n < length && !(s->flags & (CLAW_SOCKET_ENDING | CLAW_SOCKET_FAILED))) {
        drained(loop, s, fd);
        return n;
    }
    // More is there, or the end is: say READABLE again unless the caller reads on by itself.
    s->flags = (uint16_t)((s->flags | CLAW_SOCKET_READABLE) & ~CLAW_SOCKET_TOLD);
    if (s->mode == CLAW_RECEIVE_READABLE) claw_ready(loop, fd);
    return n;
}

int64_t claw_socket_recv(claw_loop *loop, int32_t fd, void *into, size_t length) {
    const claw_socket *s = &loop->sockets[fd];
    if (s->flags & CLAW_SOCKET_OVER) return -s->error;
    ssize_t n;
    do n = recv(fd, into, length, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return claw_socket_recv_done(loop, fd, n >= 0 ? n : errno == EWOULDBLOCK ? -EAGAIN : -errno, length);
}

_Static_assert(sizeof(claw_slice) == sizeof(struct iovec) && offsetof(claw_slice, length) == offsetof(struct iovec, iov_len),
               "a slice is an iovec");

static ssize_t send_once(int32_t fd, const claw_slice *slices, int32_t count) {
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    if (count == 1) return send(fd, slices->base, slices->length, flags);
    struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)slices, .msg_iovlen = (size_t)count };
    return sendmsg(fd, &message, flags);
}

int64_t claw_socket_send(claw_loop *loop, int32_t fd, const claw_slice *slices, int32_t count) {
    claw_socket *s = &loop->sockets[fd];
    size_t total = 0;
    for (int32_t i = 0; i < count; i++)
        if (__builtin_add_overflow(total, slices[i].length, &total) || total > PTRDIFF_MAX) return -EINVAL;
    if (total == 0) return 0;
    ssize_t n;
    do n = send_once(fd, slices, count);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return -errno;
    if (n < 0 || (size_t)n < total) {
        // A readiness seen before this call is no news any more.
        s->flags = (uint16_t)((s->flags | CLAW_SOCKET_WANTS_WRITE) & ~CLAW_SOCKET_WRITABLE);
    }
    return n < 0 ? -EAGAIN : n;
}

int32_t claw_socket_shutdown_send(claw_loop *loop, int32_t fd) {
    (void)loop;
    return shutdown(fd, SHUT_WR) == 0 ? 0 : -errno;
}

// ---- accepting -----------------------------------------------------------------------------

/// Accepted connections inherit the option from their listener, which saves a call for each.
void claw_accept_prepare(int32_t fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/// accept(2) hands on the network errors of the connection it was about to return; those, and a
/// connection that went away again, concern nobody. Everything else would repeat at once.
bool claw_accept_must_pause(int32_t error) {
    switch (error) {
    case EINTR: case ECONNABORTED: case EPERM: case EPROTO: case ENOPROTOOPT: case EOPNOTSUPP:
    case ENETDOWN: case ENETUNREACH: case EHOSTDOWN: case EHOSTUNREACH: case ENONET:
    case ETIMEDOUT: case ECONNRESET:
        return false;
    default:
        return true;
    }
}

void claw_accept_pause(claw_loop *loop, int32_t fd) {
    loop->sockets[fd].resume_ns = claw_clock() + CLAW_ACCEPT_PAUSE_NS;
    claw_list_push(loop, CLAW_LIST_PAUSED, fd);
}

int64_t claw_accept_resume(claw_loop *loop, int64_t timeout_ns) {
    uint64_t now = claw_clock();
    int32_t fd = loop->lists[CLAW_LIST_PAUSED].first;
    while (fd >= 0) {
        claw_socket *s = &loop->sockets[fd];
        int32_t next = s->next;
        if (s->resume_ns <= now) claw_ready(loop, fd);
        else if (timeout_ns < 0 || (uint64_t)timeout_ns > s->resume_ns - now) timeout_ns = (int64_t)(s->resume_ns - now);
        fd = next;
    }
    return timeout_ns;
}
