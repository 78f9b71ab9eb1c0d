// claw_tls: TLS (OpenSSL 3) on the sockets of a claw_loop. A socket that was made secure behaves like any other from then on: RECEIVED events bring
// plain bytes, claw_recv and claw_send take plain bytes, claw_close says goodbye (close_notify) first. The handshake runs on the
// loop, step by step, and ends with one SECURED event. Pull only: OpenSSL's callbacks stay inside.
#ifndef CLAW_TLS_H
#define CLAW_TLS_H
#include "claw_loop.h"

/// Settings of a server's or a client's side: certificates, versions, ALPN. Immutable, counted, usable by any thread.
typedef struct claw_tls claw_tls;
/// Keys of session tickets, shared by all workers and kept over reloads; they rotate by themselves (a ticket is taken for two periods). Counted.
typedef struct claw_tls_tickets claw_tls_tickets;

enum { CLAW_TLS_ALPN_HTTP1 = 1, CLAW_TLS_ALPN_H2 = 2 };
enum { CLAW_TLS_CLIENT_NONE = 0, CLAW_TLS_CLIENT_OPTIONAL = 1, CLAW_TLS_CLIENT_REQUIRED = 2 };

typedef struct claw_tls_pair { const char *certificate, *key; } claw_tls_pair;  // PEM files: chain, leaf first; its key

typedef struct claw_tls_server_options {
    const claw_tls_pair *pairs;      // chosen by SNI from the names (SAN, else CN) in each leaf, wildcards too; the first is for everybody else
    uint32_t pair_count;
    uint32_t client_verify;          // CLAW_TLS_CLIENT_*
    const char *client_ca;           // PEM bundle; NULL exactly when client_verify is NONE
    uint32_t version_min;            // 12 or 13
    uint32_t alpn;                   // CLAW_TLS_ALPN_* that may be chosen, h2 first; nothing in common: alert no_application_protocol
    const char *ciphers;             // TLS 1.2 list; NULL: ECDHE with AEAD only
    const char *ciphersuites;        // TLS 1.3 list; NULL: OpenSSL's
    claw_tls_tickets *tickets;       // kept (counted); NULL: no resumption
    uint32_t kernel_tls;             // 1: asks for it where OpenSSL and the kernel have it, and goes on without where not
    uint32_t strict_sni;             // 1: an unknown or absent name is refused (alert unrecognized_name) instead of given the first pair
} claw_tls_server_options;

typedef struct claw_tls_client_options {
    const char *ca_file;             // PEM bundle; NULL: the system's
    const char *client_certificate, *client_key;
    uint32_t insecure_skip_verify;
    uint32_t alpn;                   // CLAW_TLS_ALPN_* offered, h2 first; 0: none
    uint32_t kernel_tls;
    uint32_t reserved;
} claw_tls_client_options;

/// Reads the files and checks them (key fits certificate, not expired, chain readable). 0, or a negated errno with a sentence in `problem` that names
/// the file and what is wrong with it.
int32_t claw_tls_server(const claw_tls_server_options *options, claw_tls **out, char *problem, size_t problem_size);
int32_t claw_tls_client(const claw_tls_client_options *options, claw_tls **out, char *problem, size_t problem_size);
void claw_tls_retain(claw_tls *tls);
void claw_tls_release(claw_tls *tls);
/// New random keys every `period_seconds`.
int32_t claw_tls_tickets_create(uint32_t period_seconds, claw_tls_tickets **out);
void claw_tls_tickets_release(claw_tls_tickets *tickets);
/// Seconds since 1970 at which the first of the certificates expires; 0: none known.
int64_t claw_tls_expires(const claw_tls *tls);
/// "OpenSSL 3.0.19", and in `kernel` why kernel TLS is or is not in use (static text).
const char *claw_tls_library(const char **kernel);

// ---- sockets of a loop (both kernel backends; -ENOTSUP on a played one)
/// Makes an attached socket the server side of TLS, before anything was received on it. SECURED follows (unless it is closed). The settings are
/// kept until claw_close.
int32_t claw_secure_server(claw_loop *loop, int32_t fd, claw_tls *tls);
/// The same after something was received (a PROXY header): `early` (borrowed, at most 64 KiB) are bytes that belong to TLS already. Up to
/// now the socket was read in READABLE mode: with a BUFFERED receive in flight the answer is -EBUSY.
int32_t claw_secure_server_after(claw_loop *loop, int32_t fd, claw_tls *tls, const void *early, size_t length);
/// Makes a connected socket the client side; `host` (borrowed) is sent as SNI (unless it is an IP address) and checked against the certificate.
int32_t claw_secure_client(claw_loop *loop, int32_t fd, claw_tls *tls, const char *host);

/// A SECURED event's result other than 0 (then the socket is of no use but to be closed; PLAIN_HTTP: claw_send sends plain bytes once more).
enum {
    CLAW_TLS_FAILED = -1,        // protocol error, no common version or cipher, alert from the peer
    CLAW_TLS_GONE = -2,          // the peer closed or reset in the middle
    CLAW_TLS_PLAIN_HTTP = -3,    // the first bytes were an HTTP request in clear text
    CLAW_TLS_CERTIFICATE = -4,   // the peer's certificate: missing, expired, unknown authority, wrong host
    CLAW_TLS_NAME = -5,          // server: no certificate for the asked name (strict_sni)
    CLAW_TLS_PROTOCOL = -6       // ALPN: nothing in common
};

typedef struct claw_tls_facts {
    uint32_t version;            // 12, 13; 0: not (yet) secure
    uint32_t alpn;               // CLAW_TLS_ALPN_* chosen; 0: the peer did not ask
    uint32_t resumed;            // 1: by a ticket
    uint32_t kernel;             // bit 0: sending, bit 1: receiving are the kernel's
    const char *cipher;          // static text, e.g. "TLS_AES_128_GCM_SHA256"
    const char *server_name;     // SNI or NULL; these live until claw_close
    const char *subject;         // of the verified client certificate, RFC 2253 form, or NULL
    const char *names;           // its SAN entries, "DNS:a.example,URI:spiffe://x/y,email:…,IP:…", or NULL
    const char *reason;          // after a failure: OpenSSL's or our words (no secrets), else NULL
} claw_tls_facts;
/// What is known of a secure socket. -ENOENT: not one.
int32_t claw_secured(claw_loop *loop, int32_t fd, claw_tls_facts *facts);
/// Handshakes under way on this loop.
uint32_t claw_handshakes(const claw_loop *loop);
#endif
