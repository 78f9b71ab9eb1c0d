// What the parts of TLS share: the settings behind claw_tls, a secure socket's own record, and what the loop and its kernel backends
// call instead of the plain functions once a socket is marked CLAW_SOCKET_SECURE.
//
// Two kinds of readiness meet in a secure socket. `raw` says that the kernel may have bytes of the connection, `inside` that OpenSSL
// may be able to give plain bytes without any more of them. CLAW_SOCKET_READABLE is kept as "one of both, or the end is known", so that
// all notices of the loop mean plain bytes.
#ifndef CLAW_SECURE_H
#define CLAW_SECURE_H
#include "claw_inside.h"
#include "claw_tls.h"
#include <openssl/ssl.h>
#include <pthread.h>

// ---- settings (claw_tls.c, claw_tls_pairs.c, claw_tls_tickets.c)

/// A name of a certificate and the pair it belongs to. "*.example.com" is a name like any other; looking up replaces the first label.
typedef struct claw_tls_name { char *text; uint32_t pair; } claw_tls_name;

struct claw_tls {
    uint32_t references;          // atomic
    bool server;
    bool strict_sni;
    bool kernel;                  // kernel TLS is asked for, and this kernel has it
    uint32_t alpn;
    uint32_t client_verify;
    uint32_t count;
    SSL_CTX **contexts;           // one for each pair
    claw_tls_name *names;         // sorted by text, then by pair
    uint32_t name_count;
    int64_t expires;
    claw_tls_tickets *tickets;
};

/// Where a loader says what is wrong: one sentence.
typedef struct claw_problem { char *text; size_t size; } claw_problem;
int32_t claw_problem_say(claw_problem problem, int32_t error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/// The newest reason in OpenSSL's queue (which is emptied), never NULL.
const char *claw_openssl_reason(void);
/// Puts a pair of files into the context. The leaf's names are added to the table and its last day to `expires`, if it is a server's.
int32_t claw_tls_load_pair(claw_tls *tls, SSL_CTX *context, const claw_tls_pair *pair, uint32_t index, claw_problem problem);
/// Reads a bundle of authorities: into the store that verifies, and (server) as the names that clients are told. `digest` gets 32 bytes.
int32_t claw_tls_load_authorities(SSL_CTX *context, const char *path, bool server, uint8_t *digest, claw_problem problem);
/// Sorts the table, so that names can be looked up.
void claw_tls_names_done(claw_tls *tls);
/// The pair that has this name, lower-case; -1: none.
int32_t claw_tls_pair_for(const claw_tls *tls, const char *name);
void claw_tls_names_free(claw_tls *tls);

void claw_tls_tickets_retain(claw_tls_tickets *tickets);
/// Makes a context take and give tickets under these keys.
void claw_tls_tickets_use(SSL_CTX *context, uint32_t period_hint);
uint32_t claw_tls_tickets_period(const claw_tls_tickets *tickets);

/// Whether this process may use kernel TLS; `why` in words.
bool claw_tls_kernel(const char **why);

// ---- secure sockets (claw_secure.c)

enum {
    CLAW_SECURE_SHAKING = 0,   // the handshake is under way
    CLAW_SECURE_OPEN,
    CLAW_SECURE_CLEAR,         // the peer spoke HTTP in clear text; so do we, once
    CLAW_SECURE_DEAD           // failed: only closing is left
};
/// How the peer's side ended, when that is known and not surfaced yet.
enum { CLAW_END_NONE = 0, CLAW_END_CLEAN, CLAW_END_BROKEN };

typedef struct claw_secure {
    SSL *ssl;
    claw_tls *tls;
    claw_loop *loop;
    int32_t fd;
    uint8_t state;
    uint8_t end;
    bool raw;                  // see above
    bool inside;
    bool started;              // a first step of the handshake was made
    bool full;                 // the kernel took less than it was given in this call
    bool sender_waits;         // a claw_send fell short: WRITABLE is the caller's
    bool reader_writes;        // reading (or shaking hands) waits for room to write
    bool sender_reads;         // sending waits for something to read
    bool ending;               // claw_shutdown_send found no room for close_notify
    bool ended;                // close_notify was sent
    bool unfit;                // OpenSSL reported an error after which nothing may be asked of this SSL
    bool wrong_name, wrong_protocol;
    bool own_bio;              // ours, not OpenSSL's socket BIO (kernel TLS)
    int32_t raw_error;         // what the kernel said last that was fatal; 0 with raw_end: FIN
    bool raw_end;
    int32_t write_error;       // positive errno
    uint8_t peeked;            // the first bytes of the connection, until it is known whether they are HTTP; SETTLED: it is known
    uint8_t first[8];
    uint8_t *early;            // bytes received before TLS began, not yet read
    uint32_t early_offset, early_length;
    uint32_t pending;          // plain bytes of the record that OpenSSL is still writing
    uint32_t surplus;          // plain bytes already sent that the caller will offer again
    int32_t end_error;         // CLAW_END_BROKEN: positive errno
    char *server_name, *subject, *names;
    const char *reason;
    bool facts_known;
} claw_secure;

/// A loop's part, made with its first secure socket.
struct claw_secures {
    claw_secure **by_fd;       // mapped untouched, as long as the socket table
    uint8_t *gathered;         // small slices become one record here
    uint32_t handshakes;
    int32_t steps_left;        // of handshakes, in this turn
    uint64_t steps_until;      // when the turn's time for handshakes is over; 0: not begun
    uint32_t raw_reads_left;   // of the call under way
    bool busy;                 // something was put off to the next turn
};

static inline claw_secure *claw_secure_at(claw_loop *loop, int32_t fd) { return loop->secures->by_fd[fd]; }
/// Begins a turn: its bounds are as new.
void claw_secure_turn(claw_loop *loop);
/// Whether the next wait must not block although no event was surfaced.
static inline bool claw_secure_busy(const claw_loop *loop) { return loop->secures != NULL && loop->secures->busy; }
/// What readiness means to a secure socket (called after the record noted it).
void claw_secure_note(claw_loop *loop, claw_socket *s, int32_t fd, uint32_t mask);
/// Serves it from the ready list: handshake, notices, received bytes. Puts it back on the list as needed.
void claw_secure_serve(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch);
int64_t claw_secure_recv(claw_loop *loop, int32_t fd, void *into, size_t length);
int64_t claw_secure_send(claw_loop *loop, int32_t fd, const claw_slice *slices, int32_t count);
/// How many of the wire's bytes to wait for so that this many plain ones are not waited for in vain.
uint32_t claw_secure_at_least(claw_loop *loop, int32_t fd, uint32_t bytes);
int32_t claw_secure_shutdown_send(claw_loop *loop, int32_t fd);
/// Says goodbye unless it is a reset, and forgets; the descriptor itself is the backend's to close.
void claw_secure_close(claw_loop *loop, int32_t fd, bool reset);
void claw_secure_destroy(claw_loop *loop);
/// Whether the kernel is to be asked for bytes (or the end) of this socket.
bool claw_secure_wants_read(claw_loop *loop, const claw_socket *s, int32_t fd);

// ---- between OpenSSL and the descriptor (claw_secure_wire.c)
/// Gives the SSL its BIO.
bool claw_wire_attach(claw_secure *c);
/// Bytes, 0 at the end, -EAGAIN, or another negated errno.
int64_t claw_wire_receive(claw_secure *c, void *into, size_t length);
/// Asks to be told of room to write.
void claw_wire_wait_writable(claw_secure *c);

// ---- what is known of the peer (claw_secure_facts.c)
/// Takes subject and names of a verified peer over into the record.
void claw_secure_facts_take(claw_secure *c);
/// After a handshake that OpenSSL is content with: 0, or why it is not good enough.
int32_t claw_secure_check(claw_secure *c);
/// Why a handshake failed: CLAW_TLS_*, with the words in c->reason.
int32_t claw_secure_failure(claw_secure *c);
#endif
