// Between OpenSSL and the descriptor of a secure socket: a BIO of ours that knows what the loop knows. After a read that came back
// short the kernel holds nothing more, so OpenSSL's look for the next record costs no system call; after a write that came back short
// it has no room. The first bytes of a connection pass by here too, and whoever speaks HTTP in clear text is found out before OpenSSL
// sees any of it.
#include "claw_secure.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PEEK_SETTLED = 255 };

void claw_wire_wait_writable(claw_secure *c) {
    claw_socket *s = &c->loop->sockets[c->fd];
    s->flags = (uint16_t)((s->flags | CLAW_SOCKET_WANTS_WRITE) & ~CLAW_SOCKET_WRITABLE);
    if (c->loop->backend_id == CLAW_BACKEND_URING) claw_ready(c->loop, c->fd);
}

int64_t claw_wire_receive(claw_secure *c, void *into, size_t length) {
    const claw_socket *s = &c->loop->sockets[c->fd];
    if (c->early_offset < c->early_length) {
        size_t left = c->early_length - c->early_offset, n = left < length ? left : length;
        memcpy(into, c->early + c->early_offset, n);
        c->early_offset += (uint32_t)n;
        if (n == left) {
            free(c->early);
            c->early = NULL;
            c->early_offset = c->early_length = 0;
        }
        return (int64_t)n;
    }
    if (c->raw_end) return -c->raw_error;
    struct claw_secures *all = c->loop->secures;
    if (!c->raw || all->raw_reads_left == 0) return -EAGAIN;
    all->raw_reads_left--;
    ssize_t n;
    do n = recv(c->fd, into, length, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        if ((size_t)n < length && !(s->flags & (CLAW_SOCKET_ENDING | CLAW_SOCKET_FAILED))) c->raw = false;
        return n;
    }
    int error = n == 0 ? s->error : errno;
    c->raw = false;
    if (error == EAGAIN || error == EWOULDBLOCK) return -EAGAIN;
    c->raw_end = true;
    c->raw_error = error;
    return -error;
}

/// What the first bytes are. They are few and come once; TLS begins with 22, so a method's first letter settles nearly all.
enum { BYTES_TLS, BYTES_HTTP, BYTES_UNCLEAR };
static int bytes_are(const uint8_t *bytes, size_t count) {
    static const char *const methods[] = { "GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI * " };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        size_t length = strlen(methods[i]);
        if (memcmp(bytes, methods[i], count < length ? count : length) == 0) return count < length ? BYTES_UNCLEAR : BYTES_HTTP;
    }
    return BYTES_TLS;
}

/// Looks at the connection's first bytes before OpenSSL does. False: they are not (or not yet) for OpenSSL.
static bool peek(claw_secure *c, const uint8_t *bytes, size_t count) {
    size_t take = sizeof c->first - c->peeked < count ? sizeof c->first - c->peeked : count;
    memcpy(c->first + c->peeked, bytes, take);
    int are = bytes_are(c->first, c->peeked + take);
    bool kept_back = c->peeked > 0;
    c->peeked = are == BYTES_UNCLEAR ? (uint8_t)(c->peeked + take) : PEEK_SETTLED;
    if (are == BYTES_HTTP) c->state = CLAW_SECURE_CLEAR;
    if (are == BYTES_TLS && !kept_back) return true;
    if (are == BYTES_TLS) c->reason = "neither TLS nor HTTP";
    return false;
}

static int bio_read(BIO *bio, char *into, int length) {
    claw_secure *c = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (length <= 0) return 0;
    int64_t n = claw_wire_receive(c, into, (size_t)length);
    while (n > 0 && c->peeked != PEEK_SETTLED && !peek(c, (const uint8_t *)into, (size_t)n)) {
        if (c->peeked == PEEK_SETTLED) return -1;
        n = claw_wire_receive(c, into, (size_t)length);
    }
    if (n > 0) return (int)n;
    if (n == -EAGAIN) BIO_set_retry_read(bio);
    return n == 0 ? 0 : -1;
}

static int bio_write(BIO *bio, const char *from, int length) {
    claw_secure *c = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (length <= 0) return 0;
    ssize_t n = -1;
    int error = EAGAIN;
    if (!c->full) {
        do n = send(c->fd, from, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        error = n < 0 ? errno : 0;
    }
    if (n < length) c->full = true;
    if (n >= 0) return (int)n;
    if (error == EAGAIN || error == EWOULDBLOCK) BIO_set_retry_write(bio);
    else c->write_error = error;
    return -1;
}

/// Never says EOF: OpenSSL would answer an end without close_notify with an alert and refuse to write from then on.
static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio; (void)number; (void)pointer;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static pthread_once_t bio_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *bio_method;

static void bio_begin(void) {
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "claw socket");
    if (bio_method == NULL) return;
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_control);
}

bool claw_wire_attach(claw_secure *c) {
    c->peeked = c->tls->server ? 0 : PEEK_SETTLED;
    // The kernel's TLS works through OpenSSL's own BIO alone. That one reads once more to hear EAGAIN, doesn't look for HTTP as closely
    // as we do, and may raise SIGPIPE, which the program ignores.
    if (c->tls->kernel && c->early_length == 0) return SSL_set_fd(c->ssl, c->fd) == 1;
    pthread_once(&bio_once, bio_begin);
    BIO *bio = bio_method == NULL ? NULL : BIO_new(bio_method);
    if (bio == NULL) return false;
    BIO_set_data(bio, c);
    BIO_set_init(bio, 1);
    SSL_set_bio(c->ssl, bio, bio);
    c->own_bio = true;
    return true;
}
