// claw_h2_produce: frames out. Control bytes are collected into one memory per call; of DATA frames only the nine bytes of their head are, the payload is
// named. nghttp2 decides whose turn it is and how much the windows allow.
#include "claw_h2_inside.h"
#include <stdlib.h>
#include <string.h>

enum {
    OUTPUT_FIRST = 4096,
    OUTPUT_KEPT = 256 * 1024,  // a larger one is not kept as the thread's spare
    PIECES_A_FRAME = 2,        // control bytes, then payload or the note that the stream has ended
    WINDOW_UPDATES_MAX = 4096,
    WORTH_AN_UPDATE = 64,      // payload below this, cut by a window, earns no WINDOW_UPDATE
};

// ---- control bytes -------------------------------------------------------------------------------

static h2_output *output_of(claw_h2 *h2) {
    if (h2->output) return h2->output;
    h2_output *output = calloc(1, sizeof *output);
    if (!output) return NULL;
    *output = h2_scratch_here.spare;
    h2_scratch_here.spare = (h2_output){0};
    return h2->output = output;
}

void h2_output_release(claw_h2 *h2) {
    h2_output *output = h2->output;
    if (!output) return;
    h2_output *spare = &h2_scratch_here.spare;
    if (output->capacity > spare->capacity && output->capacity <= OUTPUT_KEPT) {
        free(spare->bytes);
        *spare = *output;
    } else {
        free(output->bytes);
    }
    free(output);
    h2->output = NULL;
}

static bool put_bytes(claw_h2 *h2, const uint8_t *bytes, size_t length) {
    h2_output *output = h2->output;
    if (length > output->capacity - output->length) {
        size_t capacity = output->capacity ? output->capacity : OUTPUT_FIRST;
        while (capacity - output->length < length) capacity *= 2;
        uint8_t *larger = realloc(output->bytes, capacity);
        if (!larger) {
            h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
            return false;
        }
        output->bytes = larger;
        output->capacity = capacity;
    }
    memcpy(output->bytes + output->length, bytes, length);
    output->length += length;
    return true;
}

/// While pieces are collected, `reserved` marks control pieces; they get their addresses at the end, as the memory may move until then.
static bool put_control(claw_h2 *h2, const uint8_t *bytes, size_t length) {
    if (!put_bytes(h2, bytes, length)) return false;
    h2->produced += length;
    claw_h2_piece *last = h2->piece_count ? &h2->pieces[h2->piece_count - 1] : NULL;
    if (last && last->reserved) last->length += (uint32_t)length;
    else h2->pieces[h2->piece_count++] = (claw_h2_piece){.length = (uint32_t)length, .reserved = 1};
    return true;
}

static bool is_full(const claw_h2 *h2) { return h2->produced >= h2->produce_budget || h2->piece_count + PIECES_A_FRAME > h2->piece_capacity; }

/// Our first SETTINGS frame gets the limit of streams (see submit_settings).
static bool put_settings(claw_h2 *h2, const uint8_t *bytes, size_t length) {
    uint8_t patched[9 + 6 * 8];
    uint32_t payload = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2], max = h2->options.streams_max;
    h2->settings_patched = true;
    if (length != 9 + payload || length + 6 > sizeof patched) return put_control(h2, bytes, length);
    memcpy(patched, bytes, length);
    patched[2] = (uint8_t)(payload + 6);
    uint8_t entry[6] = {0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint8_t)(max >> 24), (uint8_t)(max >> 16), (uint8_t)(max >> 8), (uint8_t)max};
    memcpy(patched + length, entry, sizeof entry);
    return put_control(h2, patched, length + 6);
}

static bool put_frame(claw_h2 *h2, const uint8_t *bytes, size_t length) {
    if (!h2->settings_patched && !h2->options.is_client && length >= 9 && bytes[3] == NGHTTP2_SETTINGS && !(bytes[4] & NGHTTP2_FLAG_ACK))
        return put_settings(h2, bytes, length);
    return put_control(h2, bytes, length);
}

// ---- nghttp2 calls these -------------------------------------------------------------------------

static int submit_trailers(claw_h2 *h2, h2_stream *stream) {
    nghttp2_nv fields[H2_SENT_FIELDS_MAX];
    int32_t count = h2_lines(stream->trailers, stream->trailers_length, fields, 0, H2_SENT_FIELDS_MAX, true);
    int failed = count < 0 ? NGHTTP2_ERR_INVALID_ARGUMENT : nghttp2_submit_trailer(h2->session, (int32_t)stream->id, fields, (size_t)count);
    free(stream->trailers);
    stream->trailers = NULL;
    return failed;
}

ssize_t h2_on_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t length, uint32_t *flags, nghttp2_data_source *source, void *context) {
    (void)session;
    (void)id;
    (void)buffer;
    claw_h2 *h2 = context;
    h2_stream *stream = source->ptr;
    size_t part = stream->offered < length ? stream->offered : length;
    bool last = part == stream->offered;
    if (last && stream->trailers) {
        if (submit_trailers(h2, stream)) return NGHTTP2_ERR_CALLBACK_FAILURE;
        *flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM | NGHTTP2_DATA_FLAG_NO_COPY;
        return (ssize_t)part;
    }
    if (!part && !stream->end) return NGHTTP2_ERR_DEFERRED;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY | (last && stream->end ? NGHTTP2_DATA_FLAG_EOF : 0);
    h2->dribbled = !last && part < WORTH_AN_UPDATE;
    return (ssize_t)part;
}

int h2_on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length, nghttp2_data_source *source, void *context) {
    (void)session;
    claw_h2 *h2 = context;
    h2_stream *stream = source->ptr;
    if (!h2->pieces || !put_control(h2, head, H2_FRAME_HEAD)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (length || ends)
        h2->pieces[h2->piece_count++] = (claw_h2_piece){.length = (uint32_t)length, .stream = stream->id, .user = stream->user, .ends = ends};
    stream->offered -= length;
    h2->produced += length;
    if (!is_full(h2)) return 0;
    h2->stopped = true;
    return NGHTTP2_ERR_PAUSE;
}

static void earn_window_updates(claw_h2 *h2) {
    if (h2->window_updates + 2 <= WINDOW_UPDATES_MAX) h2->window_updates += 2;
    if (h2->pings < WINDOW_UPDATES_MAX) h2->pings++;
}

int h2_on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    claw_h2 *h2 = context;
    if (frame->hd.type == NGHTTP2_GOAWAY && h2->over) h2->blame_code = frame->goaway.error_code;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS || !h2->dribbled) earn_window_updates(h2);
    h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream) return 0;
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        if (stream->answered) stream->headed = true;
        if (ends) h2->note = (claw_h2_piece){.stream = stream->id, .user = stream->user, .ends = 1};
    }
    if (!ends) return 0;
    stream->end_sent = true;
    if (stream->enough && !stream->ended) h2_reset_ours(h2, stream, NGHTTP2_NO_ERROR, false);
    return 0;
}

int h2_on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int failed, void *context) {
    (void)session;
    (void)failed;
    claw_h2 *h2 = context;
    if (frame->hd.type != NGHTTP2_HEADERS || h2->over) return 0;
    h2_stream *stream = h2_find(h2, (uint32_t)frame->hd.stream_id);
    if (!stream || stream->over) return 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) h2_reset_ours(h2, stream, NGHTTP2_INTERNAL_ERROR, false);
    return 0;
}

// ---- orders --------------------------------------------------------------------------------------

bool h2_last_words(claw_h2 *h2) {
    for (;;) {
        const uint8_t *bytes;
        ssize_t length = nghttp2_session_mem_send(h2->session, &bytes);
        if (length == 0) return true;
        if (length < 0) return false;
        uint8_t *larger = realloc(h2->last_words, h2->last_words_length + (size_t)length + 6);
        if (!larger) return false;
        h2->last_words = larger;
        memcpy(larger + h2->last_words_length, bytes, (size_t)length);
        h2->last_words_length += (size_t)length;
    }
}

static int32_t produce_last_words(claw_h2 *h2, claw_h2_piece *pieces, int32_t capacity) {
    if (!h2->last_words_length || capacity < 1) return 0;
    pieces[0] = (claw_h2_piece){.bytes = h2->last_words, .length = (uint32_t)h2->last_words_length};
    h2->last_words_length = 0;
    return 1;
}

int32_t claw_h2_produce(claw_h2 *h2, size_t budget, claw_h2_piece *pieces, int32_t capacity) {
    if (h2->doom && !h2->over) h2_conclude(h2);
    if (h2->over) return produce_last_words(h2, pieces, capacity);
    if (capacity < PIECES_A_FRAME) return 0;
    if (!nghttp2_session_want_write(h2->session)) {
        h2_output_release(h2);
        return 0;
    }
    h2_output *output = output_of(h2);
    if (!output) {
        h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
        return 0;
    }
    output->length = 0;
    h2->pieces = pieces;
    h2->piece_count = 0;
    h2->piece_capacity = capacity;
    h2->produced = 0;
    h2->produce_budget = budget;
    h2->stopped = false;
    ssize_t length = 1;
    while (!h2->stopped && !is_full(h2)) {
        const uint8_t *bytes;
        length = nghttp2_session_mem_send(h2->session, &bytes);
        if (length <= 0) break;
        if (!put_frame(h2, bytes, (size_t)length)) break;
        // nghttp2 says that a head with END_STREAM was sent before it gives its bytes away.
        if (h2->note.ends) h2->pieces[h2->piece_count++] = h2->note;
        h2->note.ends = 0;
    }
    size_t offset = 0;
    for (int32_t i = 0; i < h2->piece_count; i++) {
        if (!pieces[i].reserved) continue;
        pieces[i].reserved = 0;
        pieces[i].bytes = output->bytes + offset;
        offset += pieces[i].length;
    }
    h2->pieces = NULL;
    if (length < 0) h2->broken = true;
    if (length < 0) h2_doom(h2, NGHTTP2_INTERNAL_ERROR, length == NGHTTP2_ERR_NOMEM ? "no_memory" : "internal_error");
    return h2->piece_count;
}

int32_t claw_h2_wants_write(const claw_h2 *h2) {
    if (h2->over) return h2->last_words_length > 0;
    return h2->doom || nghttp2_session_want_write(h2->session);
}
