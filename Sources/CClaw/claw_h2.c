// claw_h2: a session's life, bytes in, events out.
//
// claw_h2_feed goes through the bytes frame by frame: the guard looks at a frame's head first, then nghttp2 gets it, its callbacks append events, and
// between two frames what they found wrong is carried out. Events and heads lie in memory of the thread, so that an idle session holds none of it;
// measured with glibc, a server's session at rest is 27.0 KiB of heap, 16 of them nghttp2's frame buffer and 1 ours.
//
// A stream of the caller (h2_stream) lives from the first HEADERS until nghttp2 has closed it and its last event was pulled.
#include "claw_h2_inside.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Thread_local h2_scratch h2_scratch_here;

enum {
    SCRATCH_EVENTS_KEPT = 1024,     // more than this is given back after use
    SCRATCH_TEXT_KEPT = 256 * 1024,
    WINDOW_UPDATES_AT_FIRST = 64,   // before anything was sent: clients widen their windows
};

// ---- streams -----------------------------------------------------------------------------------

h2_stream *h2_find(const claw_h2 *h2, uint32_t id) {
    h2_stream *stream = nghttp2_session_get_stream_user_data(h2->session, (int32_t)id);
    if (stream) return stream;
    // Closed with events still waiting, or (client) not sent yet: few.
    for (stream = h2->streams; stream; stream = stream->next)
        if (stream->id == id) return stream;
    return NULL;
}

h2_stream *h2_open(claw_h2 *h2, uint32_t id, uint64_t user) {
    h2_stream *stream = calloc(1, sizeof *stream);
    if (!stream) return NULL;
    stream->id = id;
    stream->user = user;
    stream->expected = -1;
    stream->next = h2->streams;
    if (h2->streams) h2->streams->previous = stream;
    h2->streams = stream;
    h2->live++;
    return stream;
}

static void forget(claw_h2 *h2, h2_stream *stream) {
    if (stream->previous) stream->previous->next = stream->next;
    else h2->streams = stream->next;
    if (stream->next) stream->next->previous = stream->previous;
    free(stream->trailers);
    free(stream);
}

void h2_release(claw_h2 *h2, h2_stream *stream) {
    if (stream->closed && !stream->events && !stream->lost) forget(h2, stream);
}

void h2_close(claw_h2 *h2, h2_stream *stream) {
    if (stream->closed) return;
    stream->over = true;
    stream->closed = true;
    h2_give_back(h2, stream, stream->unconsumed);
    h2->live--;
    h2_release(h2, stream);
}

void h2_give_back(claw_h2 *h2, h2_stream *stream, size_t bytes) {
    if (bytes > stream->unconsumed) bytes = stream->unconsumed;
    if (!bytes) return;
    stream->unconsumed -= bytes;
    // A stream that gets no more needs no window.
    int failed = stream->ended || stream->over ? nghttp2_session_consume_connection(h2->session, bytes)
                                               : nghttp2_session_consume(h2->session, (int32_t)stream->id, bytes);
    if (failed) h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
}

// ---- what is wrong -----------------------------------------------------------------------------

void h2_doom(claw_h2 *h2, uint32_t code, const char *word) {
    if (h2->doom) return;
    h2->doom = word;
    h2->doom_code = code;
}

void h2_reset_ours(claw_h2 *h2, h2_stream *stream, uint32_t error, bool provoked) {
    if (stream->over) return;
    stream->over = true;
    stream->error = error;
    if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, (int32_t)stream->id, error)) h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
    h2_remember(h2, stream->id, true);
    h2_give_back(h2, stream, stream->unconsumed);
    if (provoked) h2_charge_reset(h2, stream);
    if (stream->told_head || h2->options.is_client) h2_tell(h2, CLAW_H2_RESET, stream, stream->id, error, CLAW_H2_OURS, NULL, 0, 0);
}

void h2_refuse(claw_h2 *h2, uint32_t id) {
    h2->refused++;
    if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, (int32_t)id, NGHTTP2_REFUSED_STREAM)) h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
    h2_remember(h2, id, true);
    h2_charge_reset(h2, NULL);
}

static const char *word_of(uint32_t code) {
    switch (code) {
    case NGHTTP2_FLOW_CONTROL_ERROR: return "flow_control_error";
    case NGHTTP2_STREAM_CLOSED: return "stream_closed";
    case NGHTTP2_FRAME_SIZE_ERROR: return "frame_size_error";
    case NGHTTP2_COMPRESSION_ERROR: return "compression_error";
    case NGHTTP2_INTERNAL_ERROR: return "internal_error";
    case NGHTTP2_ENHANCE_YOUR_CALM: return "enhance_your_calm";
    default: return "protocol_error";
    }
}

int32_t h2_conclude(claw_h2 *h2) {
    if (h2->over) return -EPROTO;
    uint32_t code = h2->doom ? h2->doom_code : NGHTTP2_NO_ERROR;
    if (h2->doom && !h2->broken) nghttp2_session_terminate_session(h2->session, code);
    h2->blame = h2->doom;
    h2->blame_code = code; // replaced by the code of the GOAWAY that goes out
    h2->over = true;
    if (!h2->broken && !h2_last_words(h2)) h2->blame = "no_memory";
    if (!h2->blame) h2->blame = word_of(h2->blame_code);
    h2_block_drop(h2);
    return -EPROTO;
}

/// Has nghttp2 ended the session by itself? A GOAWAY with a last id that can't be is refused, except when one that ends the session is on its way.
static bool has_ended_itself(claw_h2 *h2) {
    int32_t impossible = h2->options.is_client ? 1 : 2;
    return nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, impossible, NGHTTP2_NO_ERROR, NULL, 0) == 0;
}

// ---- events ------------------------------------------------------------------------------------

bool h2_tell(claw_h2 *h2, uint32_t kind, h2_stream *stream, uint32_t id, uint32_t error, uint32_t flags, const uint8_t *bytes, size_t offset, size_t length) {
    h2_scratch *s = &h2_scratch_here;
    if (stream && stream->muted) return true;
    if (s->owner != h2) {
        // Not within claw_h2_feed: only the loss of a stream is found out elsewhere.
        if (kind == CLAW_H2_RESET && stream && !stream->lost) {
            stream->lost = true;
            stream->error = error;
            h2->lost++;
        }
        return true;
    }
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity ? s->capacity * 2 : 64;
        h2_event *larger = realloc(s->events, capacity * sizeof *larger);
        if (!larger) {
            h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
            return false;
        }
        s->events = larger;
        s->capacity = capacity;
    }
    s->events[s->count++] = (h2_event){stream, bytes, offset, length, kind, id, error, flags};
    if (stream) stream->events++;
    return true;
}

/// Drops what was not pulled and gives back what it held.
static void scratch_clear(void) {
    h2_scratch *s = &h2_scratch_here;
    for (uint32_t i = s->next; i < s->count; i++) {
        h2_event *e = &s->events[i];
        if (!e->stream) continue;
        if (e->kind == CLAW_H2_DATA) h2_give_back(s->owner, e->stream, e->length);
        e->stream->events--;
        h2_release(s->owner, e->stream);
    }
    s->owner = NULL;
    s->count = s->next = 0;
    s->text_length = 0;
    if (s->capacity > SCRATCH_EVENTS_KEPT) {
        free(s->events);
        s->events = NULL;
        s->capacity = 0;
    }
    if (s->text_capacity > SCRATCH_TEXT_KEPT) {
        free(s->text);
        s->text = NULL;
        s->text_capacity = 0;
    }
}

static int32_t next_lost(claw_h2 *h2, claw_h2_event *event) {
    for (h2_stream *stream = h2->streams; h2->lost && stream;) {
        h2_stream *next = stream->next;
        if (stream->lost) {
            *event = (claw_h2_event){.kind = CLAW_H2_RESET, .stream = stream->id, .user = stream->user, .error = stream->error, .flags = CLAW_H2_OURS};
            bool muted = stream->muted;
            stream->lost = false;
            stream->muted = true;
            h2->lost--;
            h2_release(h2, stream);
            if (!muted) return 1;
        }
        stream = next;
    }
    return 0;
}

int32_t claw_h2_next(claw_h2 *h2, claw_h2_event *event) {
    h2_scratch *s = &h2_scratch_here;
    while (s->owner == h2 && s->next < s->count) {
        h2_event *e = &s->events[s->next++];
        h2_stream *stream = e->stream;
        bool muted = stream && stream->muted;
        if (!muted) {
            const uint8_t *bytes = e->bytes ? e->bytes : e->length ? (const uint8_t *)s->text + e->offset : NULL;
            *event = (claw_h2_event){e->kind, e->id, stream ? stream->user : 0, bytes, e->length, e->error, e->flags};
            if (e->kind == CLAW_H2_RESET) stream->muted = true;
        }
        if (stream) {
            stream->events--;
            h2_release(h2, stream);
        }
        if (!muted) return 1;
    }
    return h2->lost ? next_lost(h2, event) : 0;
}

void claw_h2_user(claw_h2 *h2, uint32_t id, uint64_t user) {
    h2_stream *stream = h2_find(h2, id);
    if (!stream) return;
    stream->user = user;
    if (user) return;
    stream->muted = true;
    h2_give_back(h2, stream, stream->unconsumed);
}

void claw_h2_consume(claw_h2 *h2, uint32_t id, size_t bytes) {
    if (h2->over) return;
    h2_stream *stream = h2_find(h2, id);
    if (stream) h2_give_back(h2, stream, bytes);
}

// ---- nghttp2 calls these -----------------------------------------------------------------------
// A callback that has noted the connection's end fails: nothing behind it is to be looked at.

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    claw_h2 *h2 = context;
    uint32_t id = (uint32_t)frame->hd.stream_id;
    h2_stream *stream = nghttp2_session_get_stream_user_data(session, (int32_t)id);
    if (stream) {
        if (stream->over) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; // RST_STREAM is on its way; decoded, not read
        bool trailers = !h2->options.is_client || stream->told_head;
        return h2_block_begin(h2, id, trailers);
    }
    if (h2->options.is_client) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (h2->live >= h2->options.streams_max || h2->final) {
        h2_refuse(h2, id);
        return h2->doom ? NGHTTP2_ERR_CALLBACK_FAILURE : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    stream = h2_open(h2, id, 0);
    if (!stream) {
        h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    nghttp2_session_set_stream_user_data(session, (int32_t)id, stream);
    // All streams take turns, whatever the client would like: incremental, of one urgency (RFC 9218 §10 lets a server choose).
    nghttp2_extpri turns = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    nghttp2_session_change_extpri_stream_priority(session, (int32_t)id, &turns, 1);
    return h2_block_begin(h2, id, false);
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *context) {
    (void)session;
    (void)flags;
    claw_h2 *h2 = context;
    if (!h2->block.active || h2->block.stream != (uint32_t)frame->hd.stream_id) return 0;
    return h2_block_field(h2, name, value);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t length, void *context) {
    (void)flags;
    claw_h2 *h2 = context;
    h2->frame_had_data = true;
    h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    if (!stream || stream->over) {
        nghttp2_session_consume_connection(session, length);
        return 0;
    }
    stream->received += (int64_t)length;
    stream->unconsumed += length;
    bool early = h2->options.is_client && !stream->told_head;
    if (early || (stream->expected >= 0 && stream->received > stream->expected)) {
        h2->malformed++;
        h2_reset_ours(h2, stream, NGHTTP2_PROTOCOL_ERROR, true);
    } else if (stream->muted) {
        h2_give_back(h2, stream, length);
    } else {
        h2_tell(h2, CLAW_H2_DATA, stream, stream->id, 0, 0, bytes, 0, length);
    }
    return h2->doom ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void on_ended(claw_h2 *h2, h2_stream *stream) {
    if (stream->over) return;
    if (stream->expected >= 0 && stream->received != stream->expected) {
        h2->malformed++;
        h2_reset_ours(h2, stream, NGHTTP2_PROTOCOL_ERROR, true);
        return;
    }
    stream->ended = true;
    h2_tell(h2, CLAW_H2_END, stream, stream->id, 0, 0, NULL, 0, 0);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    claw_h2 *h2 = context;
    h2_stream *stream = frame->hd.stream_id ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (!stream || !h2->block.active) break;
        h2_block_end(h2, stream, ended);
        if (ended) on_ended(h2, stream);
        break;
    case NGHTTP2_DATA:
        if (!stream || !ended) break;
        if (h2->options.is_client && !stream->told_head) {
            h2->malformed++;
            h2_reset_ours(h2, stream, NGHTTP2_PROTOCOL_ERROR, true);
        } else {
            on_ended(h2, stream);
        }
        break;
    case NGHTTP2_RST_STREAM:
        if (!stream || stream->over) break;
        stream->over = true;
        h2_charge_reset(h2, stream);
        h2_tell(h2, CLAW_H2_RESET, stream, stream->id, frame->rst_stream.error_code, 0, NULL, 0, 0);
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) h2_guard_settings_taken(h2);
        break;
    case NGHTTP2_GOAWAY:
        h2_tell(h2, CLAW_H2_GOAWAY, NULL, (uint32_t)frame->goaway.last_stream_id, frame->goaway.error_code, 0, NULL, 0, 0);
        break;
    case NGHTTP2_PING:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK) || !h2->pinged) break;
        h2->pinged = false;
        h2_tell(h2, CLAW_H2_PONG, NULL, 0, 0, 0, NULL, 0, 0);
        break;
    default: break;
    }
    return h2->doom ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/// A window beyond 2^31-1 (§6.9.1) nghttp2 answers with RST_STREAM by itself. (Of what ends the connection it tells here, too, before it does.)
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int failed, void *context) {
    claw_h2 *h2 = context;
    if (frame->hd.type != NGHTTP2_WINDOW_UPDATE || !frame->hd.stream_id || failed != NGHTTP2_ERR_FLOW_CONTROL) return 0;
    h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream) h2_reset_ours(h2, stream, NGHTTP2_FLOW_CONTROL_ERROR, true);
    return h2->doom ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t error, void *context) {
    claw_h2 *h2 = context;
    h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    // A request that could not be sent was never attached.
    if (!stream && h2->options.is_client) stream = h2_find(h2, (uint32_t)id);
    if (!stream || stream->closed) return 0;
    bool whole = stream->ended && stream->end_sent;
    if (!stream->over && !whole) {
        // Closed by neither a reset we sent nor one we saw: refused by GOAWAY.
        stream->over = true;
        h2_tell(h2, CLAW_H2_RESET, stream, stream->id, error, 0, NULL, 0, 0);
    }
    h2_remember(h2, stream->id, false);
    h2_close(h2, stream);
    return 0;
}

// ---- life --------------------------------------------------------------------------------------

static uint32_t or_default(uint32_t value, uint32_t otherwise) { return value ? value : otherwise; }

static void complete(claw_h2_options *o) {
    o->streams_max = or_default(o->streams_max, 100);
    o->head_bytes_max = or_default(o->head_bytes_max, 64 * 1024);
    if (o->head_bytes_max > 1 << 24) o->head_bytes_max = 1 << 24;
    o->head_fields_max = or_default(o->head_fields_max, 100);
    o->stream_window = or_default(o->stream_window, 256 * 1024);
    o->connection_window = or_default(o->connection_window, 1024 * 1024);
    if (o->stream_window > NGHTTP2_MAX_WINDOW_SIZE) o->stream_window = NGHTTP2_MAX_WINDOW_SIZE;
    if (o->connection_window > NGHTTP2_MAX_WINDOW_SIZE) o->connection_window = NGHTTP2_MAX_WINDOW_SIZE;
    o->resets_max = or_default(o->resets_max, 200);
    o->resets_per_second = or_default(o->resets_per_second, 20);
    o->control_max = or_default(o->control_max, 1000);
    o->control_per_second = or_default(o->control_per_second, 100);
    o->continuations_max = or_default(o->continuations_max, 8);
    o->output_bytes_max = or_default(o->output_bytes_max, 256 * 1024);
}

static int make_session(claw_h2 *h2) {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    if (nghttp2_session_callbacks_new(&callbacks)) return -ENOMEM;
    if (nghttp2_option_new(&option)) {
        nghttp2_session_callbacks_del(callbacks);
        return -ENOMEM;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_field);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, h2_on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, h2_on_not_sent);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);  // RFC 9113 §8 is claw_h2_head.c's: it has to know what was refused
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, 4 * H2_SENT_TEXT_MAX);
    // These have their budgets in the guard, which is to decide.
    nghttp2_option_set_max_outbound_ack(option, 1u << 20);
    nghttp2_option_set_max_continuations(option, 1u << 20);
    nghttp2_option_set_stream_reset_rate_limit(option, 1u << 30, 1u << 30);
    int failed = h2->options.is_client ? nghttp2_session_client_new2(&h2->session, callbacks, h2, option)
                                       : nghttp2_session_server_new2(&h2->session, callbacks, h2, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return failed ? -ENOMEM : 0;
}

/// Our SETTINGS. SETTINGS_MAX_CONCURRENT_STREAMS is not among them: nghttp2 would end the connection of a client that opens one stream too many, where
/// RFC 9113 §5.1.2 has REFUSED_STREAM; on_begin_headers holds the limit, and claw_h2_produce writes the setting into the frame.
static int submit_settings(claw_h2 *h2) {
    nghttp2_settings_entry entries[4];
    size_t count = 0;
    entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2->options.stream_window};
    entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2->options.head_bytes_max};
    if (h2->options.is_client) {
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    } else {
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
        if (h2->options.connect_protocol) entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
    }
    if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, count)) return -ENOMEM;
    return nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, (int32_t)h2->options.connection_window) ? -ENOMEM : 0;
}

int32_t claw_h2_create(const claw_h2_options *options, claw_h2 **out) {
    claw_h2 *h2 = calloc(1, sizeof *h2);
    if (!h2) return -ENOMEM;
    if (options) h2->options = *options;
    complete(&h2->options);
    h2->preface_left = h2->options.is_client ? 0 : H2_PREFACE;
    h2->peer_window = NGHTTP2_INITIAL_WINDOW_SIZE;
    h2->window_updates = WINDOW_UPDATES_AT_FIRST;
    h2_budget_start(&h2->resets, h2->options.resets_max, h2->options.resets_per_second);
    h2_budget_start(&h2->control, h2->options.control_max, h2->options.control_per_second);
    if (make_session(h2) || submit_settings(h2)) {
        claw_h2_destroy(h2);
        return -ENOMEM;
    }
    *out = h2;
    return 0;
}

void claw_h2_destroy(claw_h2 *h2) {
    if (!h2) return;
    if (h2_scratch_here.owner == h2) {
        h2->over = true;
        scratch_clear();
    }
    h2_block_drop(h2);
    h2_output_release(h2);
    // nghttp2 1.52 that ran out of memory half-way may free an item twice (a stream's DATA item whose queue could not grow): better lost than that.
    if (!h2->broken) nghttp2_session_del(h2->session);
    while (h2->streams) forget(h2, h2->streams);
    free(h2->our_resets);
    free(h2->last_words);
    free(h2);
}

void claw_h2_clock(claw_h2 *h2, uint64_t now_ns) { h2->now_ns = now_ns; }

// ---- bytes in ----------------------------------------------------------------------------------

/// Hands bytes to nghttp2. false: the connection has to end.
static bool give(claw_h2 *h2, const uint8_t *bytes, size_t length) {
    ssize_t taken = nghttp2_session_mem_recv(h2->session, bytes, length);
    if (taken == (ssize_t)length && !h2->doom) return true;
    if (h2->doom) return false;
    switch (taken) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC: h2_doom(h2, NGHTTP2_PROTOCOL_ERROR, "bad_preface"); break;
    case NGHTTP2_ERR_FLOODED: h2_doom(h2, NGHTTP2_ENHANCE_YOUR_CALM, "control_flood"); break;
    case NGHTTP2_ERR_NOMEM: h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory"); h2->broken = true; break;
    default: h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "internal_error"); h2->broken = true;
    }
    return false;
}

/// A piece of the open frame's payload, from `bytes`; `head` bytes before it belong to it (a frame head in place).
static bool give_payload(claw_h2 *h2, const uint8_t *bytes, size_t head, size_t length) {
    if (h2->frame_type == NGHTTP2_SETTINGS && length == h2->frame_left) h2_guard_settings(h2);
    h2->frame_left -= (uint32_t)length;
    if (h2->frame_withheld) {
        for (size_t i = 0; i < length && h2->payload_have < sizeof h2->payload; i++) h2->payload[h2->payload_have++] = bytes[head + i];
    } else if (!give(h2, bytes, head + length)) {
        return false;
    } else if (has_ended_itself(h2)) {
        return false;
    }
    if (h2->frame_left) return true;
    h2->frame_open = false;
    h2->frame_have = 0;
    if (h2->frame_withheld) {
        h2_guard_withheld(h2);
        return !h2->doom;
    }
    h2_guard_after(h2);
    return !h2->doom;
}

static bool feed(claw_h2 *h2, const uint8_t *bytes, size_t length) {
    while (length) {
        if (h2->preface_left) {
            size_t part = length < h2->preface_left ? length : h2->preface_left;
            if (!give(h2, bytes, part)) return false;
            h2->preface_left -= (uint32_t)part;
            bytes += part;
            length -= part;
            continue;
        }
        size_t head = 0;
        if (!h2->frame_open) {
            const uint8_t *frame = bytes;
            if (h2->frame_have || length < H2_FRAME_HEAD) {
                // The head of a frame in pieces is put together first.
                size_t missing = H2_FRAME_HEAD - h2->frame_have, part = length < missing ? length : missing;
                memcpy(h2->frame_head + h2->frame_have, bytes, part);
                h2->frame_have += (uint8_t)part;
                bytes += part;
                length -= part;
                if (h2->frame_have < H2_FRAME_HEAD) return true;
                frame = h2->frame_head;
            } else {
                head = H2_FRAME_HEAD;
            }
            enum h2_pass pass = h2_guard_frame(h2, frame);
            if (pass == H2_DOOMED) return false;
            h2->frame_open = true;
            h2->frame_withheld = pass == H2_WITHHOLD;
            h2->frame_had_data = false;
            h2->payload_have = 0;
            if (!head && !h2->frame_withheld && h2->frame_left && !give(h2, frame, H2_FRAME_HEAD)) return false;
            if (!head && !h2->frame_left) {
                if (!give_payload(h2, frame, H2_FRAME_HEAD, 0)) return false;
                continue;
            }
            if (!length) return true;
        }
        size_t available = length - head, part = available < h2->frame_left ? available : h2->frame_left;
        if (!give_payload(h2, bytes, head, part)) return false;
        bytes += head + part;
        length -= head + part;
    }
    return true;
}

int32_t claw_h2_feed(claw_h2 *h2, const uint8_t *bytes, size_t length) {
    scratch_clear();
    if (h2->over) return -EPROTO;
    h2_scratch_here.owner = h2;
    if (h2->block.active && !h2->block.kept) h2->block.start = 0;
    bool sound = !h2->doom && feed(h2, bytes, length);
    if (sound && !h2_block_keep(h2)) h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
    if (sound && !h2->doom) {
        size_t queued = nghttp2_session_get_outbound_queue_size(h2->session), expected = 2 * (size_t)h2->live;
        if (queued > expected && (queued - expected) * H2_QUEUED_FRAME > h2->options.output_bytes_max) h2_doom(h2, NGHTTP2_ENHANCE_YOUR_CALM, "output_full");
    }
    return sound && !h2->doom ? 0 : h2_conclude(h2);
}

// ---- questions ---------------------------------------------------------------------------------

uint32_t claw_h2_streams(const claw_h2 *h2) { return h2->live; }

int32_t claw_h2_is_over(const claw_h2 *h2) {
    if (h2->over) return 1;
    return !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
}

const char *claw_h2_blame(const claw_h2 *h2) { return h2->blame; }
uint32_t claw_h2_blame_code(const claw_h2 *h2) { return h2->blame_code; }
uint32_t claw_h2_refused(const claw_h2 *h2) { return h2->refused; }
uint32_t claw_h2_malformed(const claw_h2 *h2) { return h2->malformed; }
