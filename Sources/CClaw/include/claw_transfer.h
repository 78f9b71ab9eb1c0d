// claw_transfer: libcurl's multi interface as a pull interface on a claw_loop, for https:// upstreams
// (TLS verification, HTTP/2 multiplexing, egress proxies). libcurl's callbacks stay inside; the
// caller starts transfers, feeds readiness, and pulls what came of them. Belongs to one thread.
#ifndef CLAW_TRANSFER_H
#define CLAW_TRANSFER_H
#include "claw_loop.h"

typedef struct claw_transfers claw_transfers;

/// Creates the set of transfers of one loop. watch_token: the token under which libcurl's descriptors are watched
/// on the loop; READY events with it go to claw_transfers_ready. per_host_max: connections per endpoint (0: no cap).
/// The first call of a process opens libcurl.so.4 and may block some milliseconds. -ENOENT: it is not installed,
/// -ENOTSUP: too old (before 7.87) or built without TLS; claw_transfers_library says it in words.
int32_t claw_transfers_create(claw_loop *loop, uint64_t watch_token, uint32_t per_host_max, claw_transfers **out);
/// What libcurl was loaded ("libcurl/7.88.1 OpenSSL/3.0.19 nghttp2/1.52.0") or why none was. Static text.
const char *claw_transfers_library(void);
/// Ends all transfers and destroys the set. The loop must still be there.
void claw_transfers_destroy(claw_transfers *transfers);

/// TLS and egress options; every pointer may be NULL. Kept (copied) until destroyed.
typedef struct claw_transfer_policy claw_transfer_policy;
typedef struct claw_transfer_policy_options {
    const char *ca_file;             // PEM bundle instead of the system's
    const char *client_certificate, *client_key;
    const char *proxy;               // http://, socks5:// URL
    const char *connect_to;          // "HOST:PORT:ADDRESS:PORT" as CURLOPT_CONNECT_TO, for SNI ≠ address
    uint32_t insecure_skip_verify;   // 0 or 1
    uint32_t http_version;           // 0 = negotiate h2 by ALPN, 1 = HTTP/1.1 only
    uint32_t connect_timeout_ms;
    uint32_t reserved;
} claw_transfer_policy_options;
int32_t claw_transfer_policy_create(const claw_transfer_policy_options *options, claw_transfer_policy **out);
void claw_transfer_policy_destroy(claw_transfer_policy *policy);

typedef struct claw_transfer_request {
    const char *url;                 // borrows, NUL-terminated
    const char *method;              // borrows, NUL-terminated
    const claw_slice *headers;       // borrows: "Name: value" lines without CRLF; exactly these are sent
    uint32_t header_count;           //   (plus Host, Content-Length and what HTTP/2 itself needs)
    uint32_t body_count;             // slices of body
    const claw_slice *body;          // slices array borrowed; the memory they point to is kept until ENDED or cancel
    uint64_t token;                  // comes back with each event
    const claw_transfer_policy *policy; // kept until ENDED or cancel
    uint32_t window_bytes;           // how much answer is held before the transfer pauses (multiple of 16384, ≤ 65536 default)
    uint32_t reserved;
} claw_transfer_request;
/// Starts a transfer; returns its id (≥ 0, reused later) or negated errno (-ENOMEM; -EINVAL: a URL that is not http(s),
/// a method or header name that is no token, CR, LF or NUL in a header line, Transfer-Encoding, or a Content-Length
/// other than the slices' sum). What goes wrong later, a lack of descriptors too, is told by ENDED.
int32_t claw_transfer_start(claw_transfers *transfers, const claw_transfer_request *request);
/// Ends a transfer now (connection closed or stream reset); no event for it follows.
int32_t claw_transfer_cancel(claw_transfers *transfers, int32_t id);

/// Feeds a READY event of the loop.
int32_t claw_transfers_ready(claw_transfers *transfers, int32_t fd, int32_t readiness);
/// Nanoseconds until libcurl wants claw_transfers_tick; < 0: never.
int64_t claw_transfers_deadline(claw_transfers *transfers, uint64_t now_ns);
/// Lets libcurl's own timers run (call when the deadline has passed; cheap otherwise).
int32_t claw_transfers_tick(claw_transfers *transfers);

enum { CLAW_TRANSFER_HEAD = 1, CLAW_TRANSFER_DATA = 2, CLAW_TRANSFER_ENDED = 3 };
/// ENDED results other than 0 (well ended).
enum {
    CLAW_TRANSFER_RESOLVE = -1,   // the name could not be resolved
    CLAW_TRANSFER_CONNECT = -2,   // refused, unreachable, proxy refused
    CLAW_TRANSFER_CONNECT_TIMEOUT = -3,
    CLAW_TRANSFER_TLS = -4,       // handshake or certificate; nothing of the request was sent
    CLAW_TRANSFER_NETWORK = -5,   // reset or closed before the answer was whole
    CLAW_TRANSFER_MALFORMED = -6, // not HTTP, framing wrong
    CLAW_TRANSFER_OTHER = -7
};
typedef struct claw_transfer_event {
    uint64_t token;
    int32_t id;
    int32_t kind;
    int32_t result;        // HEAD: status; ENDED: 0 or CLAW_TRANSFER_*
    uint32_t length;       // HEAD and DATA: bytes
    uint32_t buffer;       // DATA: loop buffer holding them from its start, owned by the receiver until claw_buffer_release
    uint32_t http_version; // HEAD: 11 or 20
    const char *text;      // HEAD: final head as "Name: value\r\n"… (borrowed until the next claw_transfers_next); ENDED: curl's words
} claw_transfer_event;
/// Takes the next thing that came; 1 and *event, or 0 when there is nothing.
int32_t claw_transfers_next(claw_transfers *transfers, claw_transfer_event *event);
/// Back-pressure: while off no DATA events come and, once window_bytes are held, the transfer is paused at the socket.
int32_t claw_transfer_receive(claw_transfers *transfers, int32_t id, int32_t on);
/// Bytes of the answer held now: up to window_bytes in loop buffers, and what libcurl keeps itself. Over HTTP/1.1
/// that is at most 16 KiB more; over HTTP/2 libcurl 7.88 takes up to 32 MiB for a paused stream when others of
/// the same connection are active, so a caller with a memory budget should look here. -ENOENT: no such transfer.
int64_t claw_transfer_held(claw_transfers *transfers, int32_t id);
#endif
