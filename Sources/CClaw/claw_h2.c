// claw_h2: a session's life, its streams, and the events that are pulled from it.
//
// Events and heads lie in memory of the thread, so that an idle session holds none of it; measured with glibc, a server's session at rest is 27.0 KiB of
// heap, 16 of them nghttp2's frame buffer and 1 ours. A stream of the caller (h2_stream) lives from the first HEADERS until nghttp2 has closed it and its
// last event was pulled.
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
    if (!bytes || h2->broken) return;
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

void h2_scratch_clear(void) {
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
    h2_set_received(callbacks);
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
        h2_scratch_clear();
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
