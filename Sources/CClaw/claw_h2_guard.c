// claw_h2_guard: looks at the head of every frame before nghttp2 gets it: what nghttp2 1.52 lets pass of RFC 9113 is refused, and what costs the peer
// nothing and us something has a budget.
//
// What nghttp2 lets pass: HEADERS and DATA for streams that are no more (it ignores them, §5.1 and §5.1.1 want the connection to end), PRIORITY on
// stream 0, a window that SETTINGS widen beyond 2^31-1 (it resets the stream, §6.9.2 wants the connection to end), unknown frames in the middle of a header block's frames (it refuses those, but says nothing). Late frames of streams that this side reset
// are honest, the peer can't have known; the last 256 of those are remembered. PRIORITY and unknown frames have no meaning for us and stay here.
//
// Budgets are buckets of tokens. Resets: a stream that ends by a reset, whoever sent it, before its answer's head was produced has cost us a request
// and the peer nothing (CVE-2023-44487, CVE-2025-8671); after the head it is an honest stop. Control: every frame that moves no request. A
// WINDOW_UPDATE is free while it answers what we sent: each DATA frame earns two, unless a window of a few bytes made it that small.
#include "claw_h2_inside.h"
#include <stdlib.h>
#include <string.h>

// ---- budgets -----------------------------------------------------------------------------------

void h2_budget_start(h2_budget *budget, uint32_t max, uint32_t per_second) {
    *budget = (h2_budget){.level = (uint64_t)max * 1000, .max = max, .per_second = per_second};
}

bool h2_budget_take(h2_budget *budget, uint64_t now_ns) {
    if (now_ns > budget->filled_ns) {
        uint64_t passed_ms = (now_ns - budget->filled_ns) / 1000000;
        uint64_t full = (uint64_t)budget->max * 1000;
        if (budget->filled_ns == 0 || passed_ms > 1000000000) {
            budget->level = budget->filled_ns == 0 ? budget->level : full;
            budget->filled_ns = now_ns;
        } else if (passed_ms) {
            budget->level += passed_ms * budget->per_second; // thousandths of a token a millisecond
            if (budget->level > full) budget->level = full;
            budget->filled_ns += passed_ms * 1000000;
        }
    }
    if (budget->level < 1000) return false;
    budget->level -= 1000;
    return true;
}

void h2_charge_reset(claw_h2 *h2, const h2_stream *stream) {
    if (h2->options.is_client || (stream && stream->headed)) return;
    if (!h2_budget_take(&h2->resets, h2->now_ns)) h2_doom(h2, NGHTTP2_ENHANCE_YOUR_CALM, "rapid_reset");
}

void h2_charge_control(claw_h2 *h2) {
    if (!h2_budget_take(&h2->control, h2->now_ns)) h2_doom(h2, NGHTTP2_ENHANCE_YOUR_CALM, "control_flood");
}

// ---- streams that are no more --------------------------------------------------------------------

static bool is_among(const uint32_t *ids, uint32_t count, uint32_t id) {
    for (uint32_t i = 0; ids && i < count; i++)
        if (ids[i] == id) return true;
    return false;
}

/// As many as can end at once, twice.
static uint32_t our_resets_kept(const claw_h2 *h2) {
    uint32_t wanted = h2->options.streams_max < 2048 ? 2 * h2->options.streams_max : 4096;
    return wanted < H2_OUR_RESETS ? H2_OUR_RESETS : wanted;
}

void h2_remember(claw_h2 *h2, uint32_t id, bool ours) {
    if (!ours) {
        if (is_among(h2->our_resets, our_resets_kept(h2), id)) return;
        h2->closed[h2->closed_at++ % H2_CLOSED] = id;
        return;
    }
    if (!h2->our_resets) h2->our_resets = calloc(our_resets_kept(h2), sizeof *h2->our_resets);
    if (!h2->our_resets) h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
    else if (!is_among(h2->our_resets, our_resets_kept(h2), id)) h2->our_resets[h2->our_resets_at++ % our_resets_kept(h2)] = id;
}

// ---- frames --------------------------------------------------------------------------------------

static enum h2_pass refuse(claw_h2 *h2, uint32_t code, const char *word) {
    h2_doom(h2, code, word);
    return H2_DOOMED;
}

static enum h2_pass charged(claw_h2 *h2, enum h2_pass pass) {
    h2_charge_control(h2);
    return h2->doom ? H2_DOOMED : pass;
}

/// Sizes and streams that a frame's type demands (§6). 0, or the code of the connection error.
static uint32_t shape(uint8_t type, uint8_t flags, uint32_t length, uint32_t id) {
    switch (type) {
    case NGHTTP2_DATA: return id ? 0 : NGHTTP2_PROTOCOL_ERROR;
    case NGHTTP2_HEADERS: {
        if (!id) return NGHTTP2_PROTOCOL_ERROR;
        uint32_t least = (flags & NGHTTP2_FLAG_PADDED ? 1 : 0) + (flags & NGHTTP2_FLAG_PRIORITY ? 5 : 0);
        return length < least ? NGHTTP2_FRAME_SIZE_ERROR : 0;
    }
    case NGHTTP2_PRIORITY: return !id ? NGHTTP2_PROTOCOL_ERROR : length != 5 ? NGHTTP2_FRAME_SIZE_ERROR : 0;
    case NGHTTP2_RST_STREAM: return !id ? NGHTTP2_PROTOCOL_ERROR : length != 4 ? NGHTTP2_FRAME_SIZE_ERROR : 0;
    case NGHTTP2_SETTINGS:
        if (id) return NGHTTP2_PROTOCOL_ERROR;
        return length % 6 || (flags & NGHTTP2_FLAG_ACK && length) ? NGHTTP2_FRAME_SIZE_ERROR : 0;
    case NGHTTP2_PUSH_PROMISE: return NGHTTP2_PROTOCOL_ERROR; // a client must not send it, and we tell servers not to
    case NGHTTP2_PING: return id ? NGHTTP2_PROTOCOL_ERROR : length != 8 ? NGHTTP2_FRAME_SIZE_ERROR : 0;
    case NGHTTP2_GOAWAY: return id ? NGHTTP2_PROTOCOL_ERROR : length < 8 ? NGHTTP2_FRAME_SIZE_ERROR : 0;
    case NGHTTP2_WINDOW_UPDATE: return length != 4 ? NGHTTP2_FRAME_SIZE_ERROR : 0;
    case NGHTTP2_CONTINUATION: return NGHTTP2_PROTOCOL_ERROR; // not within a header block: that was looked at before
    default: return 0;
    }
}

static bool is_live(claw_h2 *h2, uint32_t id) { return nghttp2_session_get_stream_user_data(h2->session, (int32_t)id) != NULL; }

static enum h2_pass headers(claw_h2 *h2, uint32_t id, uint8_t flags) {
    h2->block_stream = flags & NGHTTP2_FLAG_END_HEADERS ? 0 : id;
    h2->continuations = 0;
    if (!h2->options.is_client) {
        if (!(id & 1)) return refuse(h2, NGHTTP2_PROTOCOL_ERROR, "stream_id");
        if (id > h2->last_id) {
            h2->last_id = id;
            h2->frame_opens = true;
            return H2_PASS;
        }
    } else if (!(id & 1) || id > h2->last_id) {
        return refuse(h2, NGHTTP2_PROTOCOL_ERROR, "stream_id");
    }
    if (is_live(h2, id)) return H2_PASS;
    // A client may have cancelled any number of streams at once; what its server had under way for them is let be.
    if (is_among(h2->our_resets, our_resets_kept(h2), id) || (h2->options.is_client && !is_among(h2->closed, H2_CLOSED, id))) return charged(h2, H2_PASS);
    if (is_among(h2->closed, H2_CLOSED, id)) return refuse(h2, NGHTTP2_STREAM_CLOSED, "stream_closed");
    return refuse(h2, NGHTTP2_PROTOCOL_ERROR, "stream_id");
}

static enum h2_pass data(claw_h2 *h2, uint32_t id, uint32_t length) {
    if (!(id & 1) || id > h2->last_id) return refuse(h2, NGHTTP2_PROTOCOL_ERROR, "stream_id");
    if (is_live(h2, id)) {
        // nghttp2 would reset the stream and not say so.
        int32_t window = nghttp2_session_get_stream_local_window_size(h2->session, (int32_t)id);
        return length > 0 && (int64_t)length > window ? refuse(h2, NGHTTP2_FLOW_CONTROL_ERROR, "flow_control_error") : H2_PASS;
    }
    bool is_late = is_among(h2->our_resets, our_resets_kept(h2), id) || (h2->options.is_client && !is_among(h2->closed, H2_CLOSED, id));
    return is_late ? H2_PASS : refuse(h2, NGHTTP2_STREAM_CLOSED, "stream_closed");
}

enum h2_pass h2_guard_frame(claw_h2 *h2, const uint8_t *head) {
    uint32_t length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    uint32_t id = ((uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8]) & 0x7fffffff;
    uint8_t type = head[3], flags = head[4];
    h2->frame_left = length;
    h2->frame_type = type;
    h2->frame_flags = flags;
    h2->frame_stream = id;
    h2->frame_opens = false;
    if (!h2->first_frame_seen) {
        if (type != NGHTTP2_SETTINGS || flags & NGHTTP2_FLAG_ACK) return refuse(h2, NGHTTP2_PROTOCOL_ERROR, "bad_preface");
        h2->first_frame_seen = true;
    }
    if (length > H2_FRAME_MAX) return refuse(h2, NGHTTP2_FRAME_SIZE_ERROR, "frame_size_error");
    if (h2->block_stream) {
        if (type != NGHTTP2_CONTINUATION || id != h2->block_stream) return refuse(h2, NGHTTP2_PROTOCOL_ERROR, "protocol_error");
        if (++h2->continuations > h2->options.continuations_max) return refuse(h2, NGHTTP2_ENHANCE_YOUR_CALM, "continuation_flood");
        if (flags & NGHTTP2_FLAG_END_HEADERS) h2->block_stream = 0;
        return H2_PASS;
    }
    uint32_t code = shape(type, flags, length, id);
    if (code == NGHTTP2_FRAME_SIZE_ERROR) return refuse(h2, code, "frame_size_error");
    if (code) return refuse(h2, code, "protocol_error");
    switch (type) {
    case NGHTTP2_DATA: return data(h2, id, length);
    case NGHTTP2_HEADERS: return headers(h2, id, flags);
    case NGHTTP2_RST_STREAM: return is_live(h2, id) ? H2_PASS : charged(h2, H2_PASS);
    case NGHTTP2_WINDOW_UPDATE:
        if (h2->window_updates && (!id || is_live(h2, id))) {
            h2->window_updates--;
            return H2_PASS;
        }
        return charged(h2, H2_PASS);
    case NGHTTP2_PING:
        // Peers that measure the way (gRPC) ask once a round trip while we send: earned like a WINDOW_UPDATE.
        if (!(flags & NGHTTP2_FLAG_ACK) && h2->pings) {
            h2->pings--;
            return H2_PASS;
        }
        return charged(h2, H2_PASS);
    case NGHTTP2_SETTINGS:
    case NGHTTP2_GOAWAY: return charged(h2, H2_PASS);
    default: return charged(h2, H2_WITHHOLD); // PRIORITY, PRIORITY_UPDATE, whatever will be invented (§5.5)
    }
}

void h2_guard_withheld(claw_h2 *h2) {
    if (h2->frame_type != NGHTTP2_PRIORITY) return;
    uint32_t on = ((uint32_t)h2->payload[0] << 24 | (uint32_t)h2->payload[1] << 16 | (uint32_t)h2->payload[2] << 8 | h2->payload[3]) & 0x7fffffff;
    if (on == h2->frame_stream) h2_doom(h2, NGHTTP2_PROTOCOL_ERROR, "protocol_error");
}

void h2_guard_settings(claw_h2 *h2) {
    h2->widest_window = 0;
    for (h2_stream *stream = h2->streams; stream; stream = stream->next) {
        int32_t window = stream->closed ? 0 : nghttp2_session_get_stream_remote_window_size(h2->session, (int32_t)stream->id);
        if (window > h2->widest_window) h2->widest_window = window;
    }
}

void h2_guard_settings_taken(claw_h2 *h2) {
    int64_t before = h2->peer_window, now = nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
    h2->peer_window = now;
    if (h2->widest_window + now - before > NGHTTP2_MAX_WINDOW_SIZE) h2_doom(h2, NGHTTP2_FLOW_CONTROL_ERROR, "flow_control_error");
}

void h2_guard_after(claw_h2 *h2) {
    if (h2->frame_type == NGHTTP2_DATA && !h2->frame_had_data && !(h2->frame_flags & NGHTTP2_FLAG_END_STREAM)) h2_charge_control(h2);
    // Behind our GOAWAY nghttp2 ignores a new stream; refused in so many words it can be tried elsewhere (§6.8, §8.7).
    if (h2->frame_opens && h2->final && !nghttp2_session_find_stream(h2->session, (int32_t)h2->frame_stream)) h2_refuse(h2, h2->frame_stream);
}
