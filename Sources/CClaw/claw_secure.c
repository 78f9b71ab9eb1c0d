// Sockets under TLS: the handshake, what is received and what is sent. A record in the sending direction is made of all that one
// claw_send offers, up to 16 KiB: every record costs a header, a tag and its set-up, and a stream's events are small. An idle
// connection keeps no buffers.
//
// Measured with OpenSSL 3.0.19: an idle server's end holds 15 KiB, one that has not heard a byte yet 9 KiB, one in the middle of its
// handshake up to 73 KiB (claw_handshakes is there to be bounded). A message of 64 bytes in and one out cost 14,700 instructions and
// two system calls, of 16,000 bytes 127,000.
//
// A record once encrypted must go out as it is. Its plain bytes count as taken when the kernel has all of it; until then the caller
// offers them again (as with any short send), and what it offers is only counted, not read.
#include "claw_secure.h"
#include "claw_ring.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { RECORD_MAX = 16384, HELD_MAX = 17 << 10, SEND_MAX = 256 << 10, EARLY_MAX = 64 << 10 };
/// Within one turn: handshakes stop after so many steps or so much time (a step with an RSA key is a millisecond), so that streams
/// are served in between.
enum { STEPS_PER_TURN = 16, STEPS_NS = 2000000 };
/// Within one call, so that a peer that sends nothing but empty records can't hold the loop.
enum { RAW_READS_PER_CALL = 64, READS_PER_WAIT = 4 };

// ---- beginning and ending --------------------------------------------------------------------

static int32_t secures_create(claw_loop *loop) {
    if (loop->secures != NULL) return 0;
    struct claw_secures *all = calloc(1, sizeof *all);
    if (all == NULL) return -ENOMEM;
    all->gathered = malloc(RECORD_MAX);
    void *at = mmap(NULL, loop->sockets_count * sizeof(claw_secure *), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all->gathered == NULL || at == MAP_FAILED) {
        if (at != MAP_FAILED) munmap(at, loop->sockets_count * sizeof(claw_secure *));
        free(all->gathered);
        free(all);
        return -ENOMEM;
    }
    all->by_fd = at;
    loop->secures = all;
    claw_secure_turn(loop);
    return 0;
}

void claw_secure_destroy(claw_loop *loop) {
    struct claw_secures *all = loop->secures;
    if (all == NULL) return;
    munmap(all->by_fd, loop->sockets_count * sizeof(claw_secure *));
    free(all->gathered);
    free(all);
    loop->secures = NULL;
}

void claw_secure_turn(claw_loop *loop) {
    loop->secures->steps_left = STEPS_PER_TURN;
    loop->secures->steps_until = 0;
    loop->secures->busy = false;
}

uint32_t claw_handshakes(const claw_loop *loop) { return loop->secures == NULL ? 0 : loop->secures->handshakes; }

static void record_free(claw_secure *c) {
    SSL_free(c->ssl);
    claw_tls_release(c->tls);
    free(c->early);
    free(c->server_name);
    free(c->subject);
    free(c->names);
    free(c);
}

static bool early_keep(claw_secure *c, const void *bytes, size_t length) {
    if (length == 0) return true;
    c->early = malloc(length);
    if (c->early == NULL) return false;
    memcpy(c->early, bytes, length);
    c->early_length = (uint32_t)length;
    return true;
}

static int32_t begin(claw_loop *loop, int32_t fd, claw_tls *tls, bool server, const void *early, size_t early_length, claw_secure **out) {
    claw_socket *s = claw_stream_at(loop, fd);
    if (loop->backend_id == CLAW_BACKEND_PLAYED) return -ENOTSUP;
    if (s == NULL) return -EBADF;
    if (tls == NULL || tls->server != server || early_length > EARLY_MAX) return -EINVAL;
    if (s->kind != CLAW_KIND_STREAM) return -ENOTCONN;
    if (s->flags & (CLAW_SOCKET_SECURE | CLAW_SOCKET_OVER)) return -EALREADY;
    // A receive in flight on io_uring would bring TLS's bytes as plain ones.
    bool flying = loop->backend_id == CLAW_BACKEND_URING && ((s->armed & ARMED_RECEIVE) || s->held_first != CLAW_NO_BUFFER_VALUE);
    if (flying) return -EBUSY;
    int32_t result = secures_create(loop);
    if (result != 0) return result;
    claw_secure *c = calloc(1, sizeof *c);
    if (c == NULL) return -ENOMEM;
    ERR_clear_error();
    claw_tls_retain(tls);
    *c = (claw_secure){ .ssl = SSL_new(tls->contexts[0]), .tls = tls, .loop = loop, .fd = fd };
    if (c->ssl == NULL || SSL_set_app_data(c->ssl, c) != 1 || !early_keep(c, early, early_length) || !claw_wire_attach(c)) {
        record_free(c);
        ERR_clear_error();
        return -ENOMEM;
    }
    c->raw = s->flags & CLAW_SOCKET_READABLE;
    *out = c;
    return 0;
}

static void enlist(claw_secure *c) {
    c->loop->secures->by_fd[c->fd] = c;
    c->loop->secures->handshakes++;
    c->loop->sockets[c->fd].flags |= CLAW_SOCKET_SECURE;
    claw_ready(c->loop, c->fd);
}

int32_t claw_secure_server_after(claw_loop *loop, int32_t fd, claw_tls *tls, const void *early, size_t length) {
    claw_secure *c;
    int32_t result = begin(loop, fd, tls, true, early, length, &c);
    if (result != 0) return result;
    SSL_set_accept_state(c->ssl);
    enlist(c);
    return 0;
}

int32_t claw_secure_server(claw_loop *loop, int32_t fd, claw_tls *tls) { return claw_secure_server_after(loop, fd, tls, NULL, 0); }

static bool expect_host(claw_secure *c, const char *host) {
    char name[256];
    size_t length = strlen(host);
    uint8_t address[16];
    if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    if (length > 0 && host[length - 1] == '.') length--;
    if (length == 0 || length >= sizeof name) return false;
    memcpy(name, host, length);
    name[length] = 0;
    c->server_name = strdup(name);
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), name) == 1;
    SSL_set_hostflags(c->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(c->ssl, name) == 1 && SSL_set_tlsext_host_name(c->ssl, name) == 1;
}

int32_t claw_secure_client(claw_loop *loop, int32_t fd, claw_tls *tls, const char *host) {
    if (host == NULL) return -EINVAL;
    claw_secure *c;
    int32_t result = begin(loop, fd, tls, false, NULL, 0, &c);
    if (result != 0) return result;
    if (!expect_host(c, host)) {
        record_free(c);
        ERR_clear_error();
        return -EINVAL;
    }
    SSL_set_connect_state(c->ssl);
    enlist(c);
    return 0;
}

/// Before each call into OpenSSL: its queue of errors is the thread's, and anybody may have left something there. Clearing an empty
/// queue costs 840 instructions, a tenth of a small record's.
static void enter(claw_secure *c) {
    if (ERR_peek_error() != 0) ERR_clear_error();
    c->full = false;
    c->loop->secures->raw_reads_left = RAW_READS_PER_CALL;
}

/// Says close_notify. False: there was no room for it.
static bool say_goodbye(claw_secure *c) {
    if (c->ended || c->unfit || c->state != CLAW_SECURE_OPEN) return true;
    enter(c);
    int result = SSL_shutdown(c->ssl);
    bool later = result < 0 && SSL_get_error(c->ssl, result) == SSL_ERROR_WANT_WRITE;
    c->ended = !later;
    ERR_clear_error();
    return !later;
}

void claw_secure_close(claw_loop *loop, int32_t fd, bool reset) {
    claw_secure *c = claw_secure_at(loop, fd);
    if (c->state == CLAW_SECURE_SHAKING) loop->secures->handshakes--;
    // With a record half out, an alert would only make garbage of it; the peer sees that it is cut.
    if (!reset && c->pending == 0) say_goodbye(c);
    loop->secures->by_fd[fd] = NULL;
    record_free(c);
    ERR_clear_error();
}

int32_t claw_secure_shutdown_send(claw_loop *loop, int32_t fd) {
    claw_secure *c = claw_secure_at(loop, fd);
    if (c->state == CLAW_SECURE_SHAKING) return -ENOTCONN;
    if (say_goodbye(c)) return claw_socket_shutdown_send(loop, fd);
    c->ending = true;
    claw_wire_wait_writable(c);
    return 0;
}

// ---- readiness -------------------------------------------------------------------------------

/// Brings READABLE in line with what is known. Who waits for room to write learns nothing by reading.
static void retell(claw_secure *c) {
    claw_socket *s = &c->loop->sockets[c->fd];
    bool more = c->end != CLAW_END_NONE || (!c->reader_writes && (c->raw || c->inside));
    if (more && !(s->flags & CLAW_SOCKET_OVER)) s->flags |= CLAW_SOCKET_READABLE;
    else s->flags &= (uint16_t)~(CLAW_SOCKET_READABLE | CLAW_SOCKET_TOLD);
}

void claw_secure_note(claw_loop *loop, claw_socket *s, int32_t fd, uint32_t mask) {
    claw_secure *c = claw_secure_at(loop, fd);
    if (mask & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) {
        c->raw = !c->raw_end;
        if (c->sender_reads) s->flags |= CLAW_SOCKET_WRITABLE;
    }
    if (c->state == CLAW_SECURE_OPEN) retell(c);
    else s->flags &= (uint16_t)~CLAW_SOCKET_READABLE;
}

bool claw_secure_wants_read(claw_loop *loop, const claw_socket *s, int32_t fd) {
    const claw_secure *c = claw_secure_at(loop, fd);
    if (c->raw || c->raw_end) return false;
    if (c->state == CLAW_SECURE_SHAKING || c->sender_reads) return true;
    return c->state == CLAW_SECURE_OPEN && s->mode != CLAW_RECEIVE_OFF && !(s->flags & CLAW_SOCKET_OVER);
}

// ---- the handshake ---------------------------------------------------------------------------

static void shaken(claw_secure *c, claw_socket *s, claw_batch *batch, int32_t result) {
    c->loop->secures->handshakes--;
    claw_emit(batch, s, c->fd, CLAW_SECURED, result);
    if (result == 0) {
        c->state = CLAW_SECURE_OPEN;
        c->inside = SSL_has_pending(c->ssl);
        if (c->sender_waits) s->flags |= CLAW_SOCKET_WRITABLE;
        retell(c);
        claw_ready(c->loop, c->fd);
        return;
    }
    if (c->state != CLAW_SECURE_CLEAR) c->state = CLAW_SECURE_DEAD;
    c->unfit = true;
    uint16_t gone = CLAW_SOCKET_READABLE | CLAW_SOCKET_TOLD | CLAW_SOCKET_WRITABLE | CLAW_SOCKET_WANTS_WRITE;
    s->flags = (uint16_t)((s->flags | CLAW_SOCKET_OVER | CLAW_SOCKET_HUNG | CLAW_SOCKET_HUNG_ERROR) & ~gone);
    if (c->state != CLAW_SECURE_CLEAR) return;
    // What of the request is there is taken in now: closing over unread bytes would reset the answer away.
    c->raw = true;
    enter(c);
    while (claw_wire_receive(c, c->loop->secures->gathered, RECORD_MAX) > 0) {}
}

/// Whether there is a step to make, and time for it in this turn.
static bool may_step(claw_secure *c, const claw_socket *s, const claw_batch *batch) {
    // A server has nothing to do before the first bytes; OpenSSL's buffers (50 KiB) are not made for who says nothing.
    bool first = !c->started && (!c->tls->server || c->early_length > 0);
    bool news = first || c->raw || c->raw_end || (s->flags & CLAW_SOCKET_WRITABLE);
    if (!news) return false;
    struct claw_secures *all = c->loop->secures;
    uint64_t now = claw_clock();
    if (all->steps_until == 0) all->steps_until = now + STEPS_NS;
    if (!claw_batch_full(batch) && all->steps_left > 0 && now < all->steps_until) return true;
    all->busy = true;
    claw_ready(c->loop, c->fd);
    return false;
}

static void shake(claw_secure *c, claw_socket *s, claw_batch *batch) {
    if (!may_step(c, s, batch)) return;
    c->loop->secures->steps_left--;
    c->started = true;
    s->flags &= (uint16_t)~CLAW_SOCKET_WRITABLE;
    enter(c);
    int result = SSL_do_handshake(c->ssl);
    int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_NONE) {
        shaken(c, s, batch, claw_secure_check(c));
    } else if (error == SSL_ERROR_WANT_WRITE) {
        claw_wire_wait_writable(c);
    } else if (error == SSL_ERROR_WANT_READ) {
        if (!c->own_bio) c->raw = false;
        if (!c->raw) return;
        c->loop->secures->busy = true;
        claw_ready(c->loop, c->fd);
    } else {
        if (error == SSL_ERROR_SYSCALL && !c->own_bio) c->raw_error = errno;
        shaken(c, s, batch, claw_secure_failure(c));
    }
    ERR_clear_error();
}

// ---- receiving -------------------------------------------------------------------------------

/// Keeps how the peer's side ended.
static void read_ended(claw_secure *c, int error) {
    c->raw = false;
    if (error == SSL_ERROR_ZERO_RETURN) {
        c->end = CLAW_END_CLEAN;
        return;
    }
    // An end without close_notify may be somebody's who cut the connection: never a clean end (RFC 8446 §6.1).
    c->end = CLAW_END_BROKEN;
    c->end_error = c->raw_error != 0 ? c->raw_error : c->write_error != 0 ? c->write_error : EPROTO;
    if (error == SSL_ERROR_SSL) {
        c->unfit = true;
        c->reason = claw_openssl_reason();
    } else if (c->reason == NULL) {
        c->reason = "the connection ended without close_notify";
    }
}

/// Plain bytes: how many, 0 at a clean end, -EAGAIN, or how it broke. Fewer than asked for means that there are no more for now.
static int64_t take(claw_secure *c, uint8_t *into, size_t length) {
    size_t got = 0;
    enter(c);
    while (got < length && c->end == CLAW_END_NONE && !c->reader_writes && (c->raw || c->inside)) {
        size_t n = 0;
        int result = SSL_read_ex(c->ssl, into + got, length - got, &n);
        if (result == 1) {
            got += n;
            c->inside = SSL_has_pending(c->ssl);
            continue;
        }
        c->inside = false;
        int error = SSL_get_error(c->ssl, result);
        if (error == SSL_ERROR_WANT_READ) {
            if (!c->own_bio) c->raw = false;
            // A ticket or key update leaves OpenSSL with buffers for a whole handshake; it keeps them if something is in them.
            if (c->pending == 0) SSL_free_buffers(c->ssl);
            break;
        } else if (error == SSL_ERROR_WANT_WRITE) {
            c->reader_writes = true;
            claw_wire_wait_writable(c);
        } else {
            if (error == SSL_ERROR_SYSCALL && !c->own_bio) c->raw_error = errno;
            read_ended(c, error);
        }
        ERR_clear_error();
    }
    retell(c);
    if (got > 0) return (int64_t)got;
    return c->end == CLAW_END_NONE ? -EAGAIN : c->end == CLAW_END_CLEAN ? 0 : -c->end_error;
}

/// Surfaced or handed out: from now on the end stays the end.
static void over(claw_secure *c, claw_socket *s) {
    s->flags = (uint16_t)((s->flags | CLAW_SOCKET_OVER) & ~(CLAW_SOCKET_READABLE | CLAW_SOCKET_TOLD));
    if (c->end != CLAW_END_BROKEN) return;
    s->error = c->end_error;
    s->flags |= CLAW_SOCKET_HUNG_ERROR;
}

static void serve_bytes(claw_secure *c, claw_socket *s, claw_batch *batch) {
    claw_loop *loop = c->loop;
    int reads_max = s->flags & CLAW_SOCKET_FLOWING ? READS_PER_WAIT : 1;
    for (int reads = 0; s->flags & CLAW_SOCKET_READABLE; reads++) {
        if (reads == reads_max || claw_batch_full(batch)) {
            claw_ready(loop, c->fd);
            return;
        }
        uint32_t buffer = claw_buffer_take(loop);
        if (buffer == CLAW_NO_BUFFER_VALUE) {
            claw_list_push(loop, CLAW_LIST_STARVED, c->fd);
            return;
        }
        size_t room = loop->pool.bytes;
        int64_t n = take(c, loop->pool.base + (size_t)buffer * room, room);
        if (n <= 0) claw_buffer_release(loop, buffer);
        if (n == -EAGAIN) {
            // Still readable: the bound on raw reads was met.
            if (s->flags & CLAW_SOCKET_READABLE) loop->secures->busy = true;
            continue;
        }
        if (n <= 0) over(c, s);
        claw_event *event = claw_emit(batch, s, c->fd, CLAW_RECEIVED, (int32_t)n);
        if (n <= 0) return;
        event->buffer = buffer;
        if ((size_t)n == room) s->flags |= CLAW_SOCKET_FLOWING;
        else s->flags &= (uint16_t)~CLAW_SOCKET_FLOWING;
        if ((size_t)n == room && (s->flags & CLAW_SOCKET_READABLE)) event->flags = CLAW_MORE;
    }
}

int64_t claw_secure_recv(claw_loop *loop, int32_t fd, void *into, size_t length) {
    claw_secure *c = claw_secure_at(loop, fd);
    claw_socket *s = &loop->sockets[fd];
    if (s->flags & CLAW_SOCKET_OVER) return c->state != CLAW_SECURE_OPEN ? -ECONNRESET : c->end == CLAW_END_BROKEN ? -c->end_error : 0;
    if (c->state != CLAW_SECURE_OPEN) return -EAGAIN;
    int64_t n = take(c, into, length);
    if (n == 0 || (n < 0 && n != -EAGAIN)) over(c, s);
    s->flags &= (uint16_t)~CLAW_SOCKET_TOLD;
    // Something more to be told of, or (io_uring) a poll to be armed.
    claw_ready(loop, fd);
    return n;
}

/// A part of the record under way may lie in OpenSSL's buffer, and the kernel will never have that again; all else of the plain bytes
/// still has to come, and sealed it is longer, not shorter.
uint32_t claw_secure_at_least(claw_loop *loop, int32_t fd, uint32_t bytes) {
    bool open = claw_secure_at(loop, fd)->state == CLAW_SECURE_OPEN;
    return open && bytes > HELD_MAX ? bytes - HELD_MAX : 1;
}

// ---- serving ---------------------------------------------------------------------------------

/// Room to write came, or something to read for who sends: for ourselves, for the caller, or both.
static void serve_room(claw_secure *c, claw_socket *s) {
    if (c->reader_writes) {
        c->reader_writes = false;
        c->inside = true;
        retell(c);
    }
    if (c->ending) {
        c->ending = false;
        claw_secure_shutdown_send(c->loop, c->fd);
    }
    if (!c->sender_waits) s->flags &= (uint16_t)~CLAW_SOCKET_WRITABLE;
}

void claw_secure_serve(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch) {
    claw_secure *c = claw_secure_at(loop, fd);
    if (c->state == CLAW_SECURE_SHAKING) {
        shake(c, s, batch);
        if (c->state == CLAW_SECURE_SHAKING || claw_batch_full(batch)) return;
    }
    if (s->flags & CLAW_SOCKET_WRITABLE) serve_room(c, s);
    bool room = s->flags & CLAW_SOCKET_WRITABLE;
    if (!claw_socket_notices(loop, s, fd, batch)) {
        claw_ready(loop, fd);
        return;
    }
    if (room) c->sender_waits = c->sender_reads = false;
    if (c->state == CLAW_SECURE_OPEN && s->mode == CLAW_RECEIVE_BUFFERED && !(s->flags & CLAW_SOCKET_OVER)) serve_bytes(c, s, batch);
}

// ---- sending ---------------------------------------------------------------------------------

/// Where in the caller's slices the next record begins.
typedef struct cursor { const claw_slice *slice; size_t offset; } cursor;

static void advance(cursor *at, size_t bytes) {
    at->offset += bytes;
    while (at->offset > 0 && at->offset >= at->slice->length) {
        at->offset -= at->slice->length;
        at->slice++;
    }
}

/// The record's bytes in one piece: where they lie, if they do in one slice, else copied together.
static const uint8_t *gather(claw_loop *loop, cursor at, size_t length) {
    while (at.slice->length == at.offset) at = (cursor){ .slice = at.slice + 1 };
    if (at.slice->length - at.offset >= length) return (const uint8_t *)at.slice->base + at.offset;
    uint8_t *into = loop->secures->gathered;
    for (size_t copied = 0; copied < length; at = (cursor){ .slice = at.slice + 1 }) {
        size_t left = at.slice->length - at.offset, n = left < length - copied ? left : length - copied;
        if (n > 0) memcpy(into + copied, (const uint8_t *)at.slice->base + at.offset, n);
        copied += n;
    }
    return into;
}

/// A record that did not go out: 0 when it will (WRITABLE follows), else how sending broke.
static int32_t not_sent(claw_secure *c, int result, size_t length) {
    int error = SSL_get_error(c->ssl, result);
    int32_t broken = 0;
    c->sender_waits = true;
    if (error == SSL_ERROR_WANT_WRITE) {
        c->pending = (uint32_t)length;
        claw_wire_wait_writable(c);
    } else if (error == SSL_ERROR_WANT_READ) {
        c->sender_reads = true;
        if (c->loop->backend_id == CLAW_BACKEND_URING) claw_ready(c->loop, c->fd);
    } else {
        if (error == SSL_ERROR_SYSCALL && !c->own_bio) c->write_error = errno;
        c->unfit = true;
        c->sender_waits = false;
        c->write_error = broken = c->write_error != 0 ? c->write_error : c->raw_error != 0 ? c->raw_error : EPROTO;
    }
    ERR_clear_error();
    return -broken;
}

static int64_t send_records(claw_secure *c, cursor at, size_t taken, size_t total) {
    claw_socket *s = &c->loop->sockets[c->fd];
    size_t first = taken;
    enter(c);
    while (taken < total) {
        if (taken - first >= SEND_MAX) {
            // Other sockets want their turn; this one goes on in the next.
            s->flags |= CLAW_SOCKET_WRITABLE;
            c->sender_waits = true;
            c->loop->secures->busy = true;
            claw_ready(c->loop, c->fd);
            break;
        }
        size_t left = total - taken, length = c->pending > 0 ? c->pending : left < RECORD_MAX ? left : RECORD_MAX, n = 0;
        const uint8_t *bytes = c->pending > 0 ? c->loop->secures->gathered : gather(c->loop, at, length);
        int result = SSL_write_ex(c->ssl, bytes, length, &n);
        if (result != 1) {
            int32_t broken = not_sent(c, result, length);
            return taken > 0 ? (int64_t)taken : broken != 0 ? broken : -EAGAIN;
        }
        c->pending = 0;
        if (n > left) {
            c->surplus = (uint32_t)(n - left);
            n = left;
        }
        taken += n;
        if (taken < total) advance(&at, n);
    }
    return (int64_t)taken;
}

int64_t claw_secure_send(claw_loop *loop, int32_t fd, const claw_slice *slices, int32_t count) {
    claw_secure *c = claw_secure_at(loop, fd);
    size_t total = 0;
    for (int32_t i = 0; i < count; i++)
        if (__builtin_add_overflow(total, slices[i].length, &total) || total > PTRDIFF_MAX) return -EINVAL;
    if (total == 0) return 0;
    if (c->state == CLAW_SECURE_CLEAR) {
        int64_t n = loop->backend->send(loop, fd, slices, count);
        c->sender_waits = n < (int64_t)total;
        return n;
    }
    if (c->state == CLAW_SECURE_SHAKING) {
        c->sender_waits = true;
        return -EAGAIN;
    }
    if (c->unfit || c->ended || c->ending) return c->write_error != 0 ? -c->write_error : -EPIPE;
    cursor at = { .slice = slices };
    size_t taken = c->surplus < total ? c->surplus : total;
    c->surplus -= (uint32_t)taken;
    if (taken == total) return (int64_t)taken;
    advance(&at, taken);
    return send_records(c, at, taken, total);
}
