// What the files of claw_h2 share: a session, its streams, and the scratch memory of a thread.
//
// nghttp2 keeps the protocol's state (streams, windows, HPACK). Around it: claw_h2.c has the session's life and its events, claw_h2_feed.c takes bytes
// frame by frame and turns callbacks into events, claw_h2_guard.c looks at every frame before nghttp2 does, claw_h2_head.c writes heads as text and
// checks them (claw_h2_fields.c: what of), claw_h2_send.c turns orders into frames, claw_h2_produce.c takes them out. Inside a callback of nghttp2
// nothing ends the connection: what is wrong is noted (h2_doom) and carried out between two frames, because ending a session inside a callback is
// where nghttp2 had its assertion failures (CVE-2026-27135).
#ifndef CLAW_H2_INSIDE_H
#define CLAW_H2_INSIDE_H
#include "claw_h2.h"
#include <nghttp2/nghttp2.h>
#include <stdbool.h>

enum {
    H2_FRAME_HEAD = 9,
    H2_FRAME_MAX = 16384,          // SETTINGS_MAX_FRAME_SIZE stays at its default
    H2_PREFACE = 24,
    H2_SENT_FIELDS_MAX = 512,      // fields of an answer or request that goes out
    H2_SENT_TEXT_MAX = 256 * 1024,
    H2_OUR_RESETS = 256,           // recent streams reset by this side whose late frames are tolerated
    H2_CLOSED = 32,                // recent streams that ended otherwise
    H2_QUEUED_FRAME = 128,         // what a waiting control frame costs, roughly
};

/// A bucket of tokens: `level` thousandths of a token, refilled by time.
typedef struct h2_budget {
    uint64_t level, filled_ns;
    uint32_t max, per_second;
} h2_budget;

/// A stream known to the caller. Freed when nghttp2 has closed it and no event of it waits to be pulled.
typedef struct h2_stream {
    struct h2_stream *next, *previous;  // all of the session, newest first
    uint64_t user;
    size_t offered;                     // payload the caller has waiting
    size_t unconsumed;                  // payload delivered and not given back
    int64_t expected, received;         // content-length or -1; payload so far
    char *trailers;
    size_t trailers_length;
    uint32_t id, events;                // events that wait
    uint32_t error;
    bool muted;          // the caller wants no more events
    bool told_head;      // client: the final head has come
    bool ended;          // the peer's side has ended
    bool over;           // reset by either side, or closed
    bool closed;         // nghttp2 has forgotten it
    bool lost;           // over, found out outside of claw_h2_feed, not told yet
    bool is_head;        // client: the request is HEAD
    bool answered;       // the final head is submitted
    bool headed;         // … and produced
    bool end;            // the caller has no more than `offered`
    bool end_sent;
    bool enough;         // RST_STREAM(NO_ERROR) follows END_STREAM
} h2_stream;

/// The header block being read. `text` lies in the thread's scratch, or in `kept` while the block is spread over several calls.
typedef struct h2_block {
    char *kept;
    size_t kept_capacity;
    size_t start, length;                // the text so far
    size_t cookie_end;                   // where the cookie line's value ends; 0: none yet
    nghttp2_rcbuf *method, *path, *authority, *scheme, *protocol;
    int64_t content_length;
    uint32_t decoded, fields, status;
    uint32_t stream;
    uint32_t crumbs;                     // cookie pieces out of place
    bool active, is_trailers, started, malformed, too_large, has_host;
} h2_block;

struct claw_h2 {
    nghttp2_session *session;
    h2_stream *streams;
    claw_h2_options options;
    h2_budget resets, control;
    uint64_t now_ns;
    h2_block block;
    // The frame being received: what the guard knows.
    uint8_t frame_head[H2_FRAME_HEAD];
    uint8_t frame_have;                  // bytes of frame_head that have come
    uint8_t frame_type, frame_flags;
    uint8_t payload[4];                  // first bytes of a frame that is kept from nghttp2
    uint8_t payload_have;
    bool frame_open, frame_withheld, frame_had_data, frame_opens, first_frame_seen;
    uint32_t frame_left, frame_stream;
    uint32_t block_stream;               // != 0: CONTINUATION of this stream is expected
    uint32_t continuations;
    uint32_t preface_left;
    uint32_t last_id;                    // highest stream opened (server: by the peer, client: by us)
    uint32_t live;                       // streams not closed
    uint32_t lost;
    int64_t peer_window, widest_window;  // SETTINGS_INITIAL_WINDOW_SIZE of the peer; the widest of the streams' windows
    uint32_t window_updates;             // free ones, earned by what was sent
    uint32_t pings;                      // likewise; none at first
    uint32_t *our_resets;                // ring, made with the first
    uint32_t closed[H2_CLOSED];
    uint32_t our_resets_at, closed_at;
    uint32_t refused, malformed;
    const char *blame;
    uint32_t blame_code;
    const char *doom;                    // noted inside a callback
    uint32_t doom_code;
    bool broken;                         // nghttp2 failed half-way, for want of memory: it is only to be destroyed
    bool over, final, pinged, settings_patched;
    // Output: what this call produces.
    struct h2_output *output;
    uint8_t *last_words;
    size_t last_words_length;
    claw_h2_piece *pieces;
    claw_h2_piece note;                  // a stream that ended with the head being serialised
    int32_t piece_count, piece_capacity;
    size_t produced, produce_budget;
    bool stopped;
    bool dribbled;                       // the DATA frame being sent is tiny because the peer's window is
};

/// Control bytes of one claw_h2_produce. Stays with the session until its next call; a thread keeps a spare one.
typedef struct h2_output {
    uint8_t *bytes;
    size_t length, capacity;
} h2_output;

typedef struct h2_event {
    h2_stream *stream;
    const uint8_t *bytes;    // NULL: `offset` into the scratch text
    size_t offset, length;
    uint32_t kind, id, error, flags;
} h2_event;

/// Events and heads of the last claw_h2_feed on this thread.
typedef struct h2_scratch {
    claw_h2 *owner;
    h2_event *events;
    uint32_t count, capacity, next;
    char *text;
    size_t text_length, text_capacity;
    h2_output spare;
} h2_scratch;
extern _Thread_local h2_scratch h2_scratch_here;

// claw_h2.c
h2_stream *h2_find(const claw_h2 *h2, uint32_t id);
h2_stream *h2_open(claw_h2 *h2, uint32_t id, uint64_t user);
void h2_close(claw_h2 *h2, h2_stream *stream);
void h2_release(claw_h2 *h2, h2_stream *stream);
/// Appends an event; bytes NULL and length > 0: at the block's text. false: out of memory, the connection is doomed.
bool h2_tell(claw_h2 *h2, uint32_t kind, h2_stream *stream, uint32_t id, uint32_t error, uint32_t flags, const uint8_t *bytes, size_t offset, size_t length);
void h2_doom(claw_h2 *h2, uint32_t code, const char *word);
/// The stream is over by this side's doing: RST_STREAM, event, budget.
void h2_reset_ours(claw_h2 *h2, h2_stream *stream, uint32_t error, bool provoked);
/// RST_STREAM(REFUSED_STREAM) for a stream that never became one.
void h2_refuse(claw_h2 *h2, uint32_t id);
void h2_give_back(claw_h2 *h2, h2_stream *stream, size_t bytes);
/// Ends the connection between frames: GOAWAY, and everything that goes with it is written down for claw_h2_produce.
int32_t h2_conclude(claw_h2 *h2);

/// Drops what was not pulled and gives back what it held.
void h2_scratch_clear(void);

// claw_h2_feed.c
void h2_set_received(nghttp2_session_callbacks *callbacks);

// claw_h2_guard.c
void h2_budget_start(h2_budget *budget, uint32_t max, uint32_t per_second);
bool h2_budget_take(h2_budget *budget, uint64_t now_ns);
void h2_charge_reset(claw_h2 *h2, const h2_stream *stream);
void h2_charge_control(claw_h2 *h2);
void h2_remember(claw_h2 *h2, uint32_t id, bool ours);
enum h2_pass { H2_PASS, H2_WITHHOLD, H2_DOOMED };
enum h2_pass h2_guard_frame(claw_h2 *h2, const uint8_t *head);
void h2_guard_withheld(claw_h2 *h2);
/// Before and after the peer's SETTINGS are taken over: their change of the windows.
void h2_guard_settings(claw_h2 *h2);
void h2_guard_settings_taken(claw_h2 *h2);
void h2_guard_after(claw_h2 *h2);

// claw_h2_head.c
int h2_block_begin(claw_h2 *h2, uint32_t stream, bool is_trailers);
int h2_block_field(claw_h2 *h2, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
void h2_block_end(claw_h2 *h2, h2_stream *stream, bool ended);
/// Between two calls of claw_h2_feed: an unfinished block leaves the scratch.
bool h2_block_keep(claw_h2 *h2);
void h2_block_drop(claw_h2 *h2);

// claw_h2_fields.c
bool h2_is_name(const uint8_t *bytes, size_t length);
bool h2_is_token(const uint8_t *bytes, size_t length);
bool h2_is_value(const uint8_t *bytes, size_t length);
bool h2_is_path(const uint8_t *bytes, size_t length);
bool h2_is_authority(const uint8_t *bytes, size_t length);
bool h2_is_same(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length);
/// Connection-specific (RFC 9113 §8.2.2), `te` apart. Any case.
bool h2_is_hop(const uint8_t *name, size_t length);
int64_t h2_number(const uint8_t *bytes, size_t length);
/// "name: value\r\n"… as fields that point into it. < 0: a line that is none, or too many.
int32_t h2_lines(const char *lines, size_t length, nghttp2_nv *fields, int32_t at, int32_t capacity, bool leave_out_hop);

// claw_h2_produce.c
ssize_t h2_on_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t length, uint32_t *flags, nghttp2_data_source *source, void *context);
int h2_on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length, nghttp2_data_source *source, void *context);
int h2_on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context);
int h2_on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int failed, void *context);
/// Everything that waits, into last_words; no payload. Returns false when memory ran out.
bool h2_last_words(claw_h2 *h2);
void h2_output_release(claw_h2 *h2);
#endif
