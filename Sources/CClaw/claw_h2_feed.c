// claw_h2_feed: received bytes go through here, frame by frame: the guard looks at a frame's head first, then nghttp2 gets it, its callbacks append
// events, and between two frames what they found wrong is carried out.
#include "claw_h2_inside.h"
#include <errno.h>
#include <string.h>

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

void h2_set_received(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_field);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
}

// ---- bytes in ----------------------------------------------------------------------------------

/// Has nghttp2 ended the session by itself? A GOAWAY with a last id that can't be is refused, except when one that ends the session is on its way.
static bool has_ended_itself(claw_h2 *h2) {
    int32_t impossible = h2->options.is_client ? 1 : 2;
    return nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, impossible, NGHTTP2_NO_ERROR, NULL, 0) == 0;
}

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
    h2_scratch_clear();
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
