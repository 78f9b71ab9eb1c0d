// claw_h2_send: orders of the caller become frames that wait for claw_h2_produce. Nothing here is sent, and nothing here can end the connection, except
// when memory runs out.
#include "claw_h2_inside.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int32_t failure(claw_h2 *h2, int failed) {
    if (failed >= 0) return 0;
    if (failed == NGHTTP2_ERR_NOMEM) {
        h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
        return -ENOMEM;
    }
    return -EINVAL;
}

/// The stream, when something can still be sent on it.
static h2_stream *sendable(claw_h2 *h2, uint32_t id) {
    if (h2->over) return NULL;
    h2_stream *stream = h2_find(h2, id);
    return !stream || stream->over || stream->end_sent ? NULL : stream;
}

static nghttp2_nv field(const char *name, const void *value, size_t length) {
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), length, NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

int32_t claw_h2_answer(claw_h2 *h2, uint32_t id, uint32_t status, const char *lines, size_t length, int32_t end) {
    h2_stream *stream = sendable(h2, id);
    if (!stream || stream->answered) return -ENOENT;
    bool interim = status / 100 == 1;
    if (status < 100 || status > 999 || status == 101 || (interim && end) || length > H2_SENT_TEXT_MAX) return -EINVAL;
    char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10)};
    nghttp2_nv fields[H2_SENT_FIELDS_MAX];
    fields[0] = field(":status", digits, sizeof digits);
    int32_t count = h2_lines(lines, length, fields, 1, H2_SENT_FIELDS_MAX, false);
    if (count < 0) return -EINVAL;
    int failed;
    if (interim) {
        failed = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, (int32_t)id, NULL, fields, (size_t)count, NULL);
    } else {
        nghttp2_data_provider payload = {.source.ptr = stream, .read_callback = h2_on_read};
        failed = nghttp2_submit_response(h2->session, (int32_t)id, fields, (size_t)count, end ? NULL : &payload);
        if (!failed) stream->answered = true;
        if (!failed && end) stream->end = true;
    }
    return failure(h2, failed);
}

int32_t claw_h2_offer(claw_h2 *h2, uint32_t id, size_t bytes, int32_t end) {
    h2_stream *stream = sendable(h2, id);
    if (!stream) return -ENOENT;
    stream->offered = bytes;
    if (end) stream->end = true;
    // Without an answer yet, or with nothing deferred, there is nothing to resume: nghttp2 says so, and that is no failure.
    if (bytes || stream->end) return nghttp2_session_resume_data(h2->session, (int32_t)id) == NGHTTP2_ERR_NOMEM ? failure(h2, NGHTTP2_ERR_NOMEM) : 0;
    return 0;
}

int32_t claw_h2_trailers(claw_h2 *h2, uint32_t id, const char *lines, size_t length) {
    h2_stream *stream = sendable(h2, id);
    if (!stream || stream->end || stream->trailers) return -ENOENT;
    nghttp2_nv fields[H2_SENT_FIELDS_MAX];
    if (length > H2_SENT_TEXT_MAX || h2_lines(lines, length, fields, 0, H2_SENT_FIELDS_MAX, true) < 0) return -EINVAL;
    stream->trailers = malloc(length + 1);
    if (!stream->trailers) return failure(h2, NGHTTP2_ERR_NOMEM);
    memcpy(stream->trailers, lines, length);
    stream->trailers_length = length;
    return nghttp2_session_resume_data(h2->session, (int32_t)id) == NGHTTP2_ERR_NOMEM ? failure(h2, NGHTTP2_ERR_NOMEM) : 0;
}

int32_t claw_h2_reset(claw_h2 *h2, uint32_t id, uint32_t error, int32_t blame) {
    if (h2->over) return -ENOENT;
    h2_stream *stream = h2_find(h2, id);
    if (!stream || stream->over) return -ENOENT;
    stream->muted = true;
    h2_reset_ours(h2, stream, error, blame != 0);
    return h2->doom ? -EPROTO : 0;
}

int32_t claw_h2_enough(claw_h2 *h2, uint32_t id) {
    if (h2->over) return -ENOENT;
    h2_stream *stream = h2_find(h2, id);
    if (!stream || stream->over) return -ENOENT;
    stream->muted = true;
    h2_give_back(h2, stream, stream->unconsumed);
    if (stream->ended) return 0;
    stream->enough = true;
    if (stream->end_sent) h2_reset_ours(h2, stream, NGHTTP2_NO_ERROR, false);
    return 0;
}

int32_t claw_h2_goaway(claw_h2 *h2, uint32_t error, int32_t final) {
    if (h2->over || h2->final) return 0;
    int failed;
    if (!final && !h2->options.is_client) {
        failed = nghttp2_submit_shutdown_notice(h2->session);
    } else {
        h2->final = final != 0;
        int32_t last = h2->options.is_client ? 0 : nghttp2_session_get_last_proc_stream_id(h2->session);
        failed = nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, error, NULL, 0);
    }
    return failure(h2, failed);
}

int32_t claw_h2_ping(claw_h2 *h2) {
    if (h2->over) return -ENOENT;
    h2->pinged = true;
    return failure(h2, nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL));
}

// ---- client ----------------------------------------------------------------------------------------

static bool may_open(claw_h2 *h2) {
    uint32_t max = nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return !h2->over && !h2->doom && !h2->final && nghttp2_session_check_request_allowed(h2->session) && h2->live < max;
}

/// Cuts the next word of the request line.
static bool word(const char **at, const char *end, const char **start, size_t *length) {
    *start = *at;
    while (*at < end && **at != ' ') (*at)++;
    *length = (size_t)(*at - *start);
    if (*at < end) (*at)++;
    return *length > 0;
}

int32_t claw_h2_ask(claw_h2 *h2, const char *head, size_t length, const char *scheme, uint64_t user, int32_t end) {
    if (!h2->options.is_client) return -EINVAL;
    if (!may_open(h2)) return -EAGAIN;
    if (length > H2_SENT_TEXT_MAX || length < 4 || memcmp(head + length - 4, "\r\n\r\n", 4)) return -EINVAL;
    const char *line_end = memchr(head, '\r', length), *at = head, *method, *target, *version;
    size_t method_length, target_length, version_length;
    if (line_end[1] != '\n' || !word(&at, line_end, &method, &method_length) || !word(&at, line_end, &target, &target_length) ||
        !word(&at, line_end, &version, &version_length) || version + 8 != line_end || version_length != 8 || memcmp(version, "HTTP/1.1", 8))
        return -EINVAL;
    if (!h2_is_token((const uint8_t *)method, method_length) || !h2_is_path((const uint8_t *)target, target_length)) return -EINVAL;
    // :authority is to stand before the fields, Host anywhere among them.
    nghttp2_nv fields[H2_SENT_FIELDS_MAX];
    const char *lines = line_end + 2;
    int32_t count = h2_lines(lines, (size_t)(head + length - 2 - lines), fields, 4, H2_SENT_FIELDS_MAX, true), kept = 4;
    if (count < 0) return -EINVAL;
    fields[3] = (nghttp2_nv){0};
    for (int32_t i = 4; i < count; i++) {
        if (fields[i].namelen != 4 || strncasecmp((const char *)fields[i].name, "host", 4) != 0) fields[kept++] = fields[i];
        else if (fields[3].name) return -EINVAL;
        else fields[3] = field(":authority", fields[i].value, fields[i].valuelen);
    }
    if (!fields[3].name || !h2_is_authority(fields[3].value, fields[3].valuelen)) return -EINVAL;
    fields[0] = field(":method", method, method_length);
    fields[1] = field(":scheme", scheme, strlen(scheme));
    fields[2] = field(":path", target, target_length);
    h2_stream *stream = h2_open(h2, 0, user);
    if (!stream) return failure(h2, NGHTTP2_ERR_NOMEM);
    stream->is_head = method_length == 4 && memcmp(method, "HEAD", 4) == 0;
    stream->answered = true;
    stream->end = end != 0;
    nghttp2_data_provider payload = {.source.ptr = stream, .read_callback = h2_on_read};
    int32_t id = nghttp2_submit_request(h2->session, NULL, fields, (size_t)kept, end ? NULL : &payload, stream);
    if (id < 0) {
        h2_close(h2, stream);
        return id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? -EAGAIN : failure(h2, id);
    }
    stream->id = (uint32_t)id;
    h2->last_id = (uint32_t)id;
    return id;
}
