// claw_h2: one HTTP/2 connection (libnghttp2) as a pull interface, either side. No I/O and no clock: the caller feeds received bytes, pulls what
// came of them, and pulls what is to be sent. Payload is not copied: DATA events point into the fed bytes, and DATA frames are produced as
// "so many bytes of stream n", which the caller sends from where they are. What nghttp2 lets pass of RFC 9113 is refused here, and the floods
// have their budgets here. Belongs to one thread.
#ifndef CLAW_H2_H
#define CLAW_H2_H
#include <stdint.h>
#include <stddef.h>

typedef struct claw_h2 claw_h2;

typedef struct claw_h2_options {
    uint32_t is_client;
    uint32_t streams_max;            // concurrent streams the peer may open (SETTINGS_MAX_CONCURRENT_STREAMS)
    uint32_t head_bytes_max;         // decoded header list (SETTINGS_MAX_HEADER_LIST_SIZE)
    uint32_t head_fields_max;
    uint32_t stream_window, connection_window;  // receive windows, ≤ 2^31-1
    uint32_t resets_max;             // streams that ended by a reset (theirs or ours) before the answer's head: budget …
    uint32_t resets_per_second;      // … which refills at this rate (needs claw_h2_clock)
    uint32_t control_max;            // SETTINGS, PING, GOAWAY, PRIORITY, empty DATA, unknown frames, frames on nothing, WINDOW_UPDATE beyond two a DATA frame sent: the same
    uint32_t control_per_second;
    uint32_t continuations_max;      // CONTINUATION frames of one header block
    uint32_t output_bytes_max;       // control bytes waiting to be produced; beyond: the connection ends
    uint32_t connect_protocol;       // 1: RFC 8441 extended CONNECT is offered (server)
    uint32_t reserved;
} claw_h2_options;

/// Zeroed options mean these: 100 streams, 64 KiB and 100 fields, windows 256 KiB and 1 MiB, 200 resets + 20/s, 1000 control + 100/s, 8, 256 KiB.
int32_t claw_h2_create(const claw_h2_options *options, claw_h2 **out);
void claw_h2_destroy(claw_h2 *h2);
/// Tells the session what time it is; call once per turn before feeding.
void claw_h2_clock(claw_h2 *h2, uint64_t now_ns);

enum {
    CLAW_H2_HEAD = 1,      // server: a request's head is whole; client: a final answer's head. bytes/length: the head as HTTP/1.1 text (below)
    CLAW_H2_DATA = 2,      // bytes/length: payload, in the fed bytes; claw_h2_consume gives the window back
    CLAW_H2_TRAILERS = 3,  // bytes/length: "name: value\r\n"… ; END follows
    CLAW_H2_END = 4,       // the peer ended its side of the stream
    CLAW_H2_RESET = 5,     // the stream is over before both sides ended: error = RFC 9113 §7 code; by whom: flags & CLAW_H2_OURS.
                           // None after the caller's own claw_h2_reset or claw_h2_enough, and the stream's user is forgotten after it
    CLAW_H2_GOAWAY = 6,    // the peer goes away: stream = last id it will serve, error = its code
    CLAW_H2_PONG = 7,      // the answer to claw_h2_ping
    CLAW_H2_INTERIM = 8    // client: a 1xx head, as HEAD
};
enum { CLAW_H2_ENDED = 1,    // on HEAD: no body follows (END follows as its own event all the same)
       CLAW_H2_OURS = 2,     // RESET: by this side
       CLAW_H2_TUNNEL = 4,   // HEAD: an extended CONNECT (RFC 8441); the text is that of the equivalent HTTP/1.1 upgrade
       CLAW_H2_TOO_LARGE = 8 // server, HEAD: beyond head_bytes_max or head_fields_max; the text is its start line and host only, for a 431
};
typedef struct claw_h2_event {
    uint32_t kind, stream;
    uint64_t user;           // what claw_h2_user gave the stream; 0 before
    const uint8_t *bytes;
    size_t length;
    uint32_t error, flags;
} claw_h2_event;

/// Takes received bytes, all of them. 0, or < 0 when the connection is over: what claw_h2_produce still gives (GOAWAY) is to be sent, then it is
/// to be closed; claw_h2_blame says why; the streams go with it, no RESET tells so. Events are to be pulled with claw_h2_next right after; they and what they point to are valid until the next
/// call of claw_h2_feed on any session of this thread, or until the fed bytes go.
///
/// Request text (server): "METHOD target HTTP/1.1\r\nhost: authority\r\n" + fields in order, names in lower case, one `cookie` line (RFC 9113 §8.2.3)
/// + "\r\n"; what could be misread as HTTP/1.1 (RFC 9113 §8.2.1, §8.3, §10.3) resets the stream with PROTOCOL_ERROR and never becomes a text.
/// An extended CONNECT becomes "GET target HTTP/1.1\r\nhost: …\r\nconnection: upgrade\r\nupgrade: websocket\r\n" + fields + "\r\n".
/// Answer text (client): "HTTP/1.1 200 \r\n" + fields + "\r\n".
int32_t claw_h2_feed(claw_h2 *h2, const uint8_t *bytes, size_t length);
int32_t claw_h2_next(claw_h2 *h2, claw_h2_event *event);
/// Gives a stream the caller's own word, returned with its events and pieces. 0: the stream is over for the caller, no more events of it.
void claw_h2_user(claw_h2 *h2, uint32_t stream, uint64_t user);
/// The caller is done with received bytes of a stream; connection and stream window are given back. (Bytes of streams that are over are given back by themselves.)
void claw_h2_consume(claw_h2 *h2, uint32_t stream, size_t bytes);

/// Server: the answer's head: `lines` = "name: value\r\n"… (names are lowered here; connection-specific fields must not be in it; copied). status 1xx: interim.
/// end != 0: no body. -EINVAL: a line that is none; -ENOENT: the stream is over.
int32_t claw_h2_answer(claw_h2 *h2, uint32_t stream, uint32_t status, const char *lines, size_t length, int32_t end);
/// Client: opens a stream with a request: `head` = HTTP/1.1 head text (request line, Host, fields, empty line; hop-by-hop fields are left out here but `te: trailers`
/// stays), scheme "http" or "https". Returns the stream's id, -EAGAIN (the peer's limit of streams is reached, or it goes away), -EINVAL.
int32_t claw_h2_ask(claw_h2 *h2, const char *head, size_t length, const char *scheme, uint64_t user, int32_t end);
/// The stream has `bytes` of body to send in all right now; end != 0: and no more after them (with trailers: see claw_h2_trailers). Cheap, idempotent.
int32_t claw_h2_offer(claw_h2 *h2, uint32_t stream, size_t bytes, int32_t end);
/// Trailers that end the stream behind the body offered (claw_h2_offer with end 0 before). lines: as above, copied.
int32_t claw_h2_trailers(claw_h2 *h2, uint32_t stream, const char *lines, size_t length);
/// Ends a stream now: what it has offered is not sent any more. Counts into the budget only when the peer provoked it (`blame` != 0).
int32_t claw_h2_reset(claw_h2 *h2, uint32_t stream, uint32_t error, int32_t blame);
/// The answer is whole but the request is not: END_STREAM and then RST_STREAM(NO_ERROR) (RFC 9113 §8.1). Call after the offer with end.
int32_t claw_h2_enough(claw_h2 *h2, uint32_t stream);
/// GOAWAY. final == 0: a notice with the highest id (drain; streams on their way are still taken); 1: with the last stream taken; later ones are refused.
int32_t claw_h2_goaway(claw_h2 *h2, uint32_t error, int32_t final);
int32_t claw_h2_ping(claw_h2 *h2);

/// A piece of what is to be sent: control bytes (bytes != NULL; valid until the next call), or `length` payload bytes of a stream, taken from the front of
/// what it has offered. `ends`: the stream's last piece (END_STREAM is set); may have length 0.
typedef struct claw_h2_piece {
    const uint8_t *bytes;
    uint32_t length, stream;
    uint64_t user;
    uint32_t ends, reserved;
} claw_h2_piece;
/// Produces up to `capacity` pieces and, roughly, up to `budget` bytes; streams take turns frame by frame. 0: nothing to send now.
/// capacity ≥ 2; the budget may be exceeded by one frame (16 KiB). A stream that ends with its head gives a piece of length 0 behind that head.
int32_t claw_h2_produce(claw_h2 *h2, size_t budget, claw_h2_piece *pieces, int32_t capacity);
int32_t claw_h2_wants_write(const claw_h2 *h2);

/// Streams open now; whether the connection is over (GOAWAY done, nothing open, or a fatal error).
uint32_t claw_h2_streams(const claw_h2 *h2);
int32_t claw_h2_is_over(const claw_h2 *h2);
/// Why the connection was ended by this side: a stable word ("protocol_error", "rapid_reset", "continuation_flood", "control_flood", "header_list", "bad_preface",
/// "stream_id", "output_full", …), NULL when it was not.
const char *claw_h2_blame(const claw_h2 *h2);
/// RFC 9113 §7 code sent with it.
uint32_t claw_h2_blame_code(const claw_h2 *h2);
/// Streams that no event tells of: refused above streams_max or after the final GOAWAY; and messages refused as malformed.
uint32_t claw_h2_refused(const claw_h2 *h2);
uint32_t claw_h2_malformed(const claw_h2 *h2);
#endif
