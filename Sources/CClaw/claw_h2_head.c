// claw_h2_head: a header block becomes the text of an HTTP/1.1 head, checked as RFC 9113 §8.2 and §8.3 want it.
//
// Fields are written down as they are decoded. Pseudo-header fields come first but in any order, so they are held (as nghttp2's counted buffers, no
// copy) until the first field proper or the end; then the start line and the host are written. What is malformed stays so, but the block is decoded
// to its end, because HPACK's state is the connection's. A block beyond the limits is not written any further; one of more than four times the
// limit ends the connection, since by then decoding itself is the attack.
#include "claw_h2_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXCESS_FACTOR = 4,            // decoded bytes above limit × this end the connection
    CRUMBS_OUT_OF_PLACE_MAX = 32, // each moves the text behind the cookie line
    SHORT_START_MAX = 4096,       // what of a too large head is still worth telling
};

static nghttp2_vec text_of(nghttp2_rcbuf *buffer) { return nghttp2_rcbuf_get_buf(buffer); }

static bool grow(char **memory, size_t *capacity, size_t needed) {
    if (needed <= *capacity) return true;
    size_t wanted = *capacity ? *capacity : 4096;
    while (wanted < needed) wanted *= 2;
    char *larger = realloc(*memory, wanted);
    if (!larger) return false;
    *memory = larger;
    *capacity = wanted;
    return true;
}

static char *block_text(h2_block *b) { return b->kept ? b->kept : h2_scratch_here.text + b->start; }

/// Room for `bytes` more, at the text's end; NULL when memory ran out.
static char *room(claw_h2 *h2, size_t bytes) {
    h2_block *b = &h2->block;
    h2_scratch *s = &h2_scratch_here;
    bool made = b->kept ? grow(&b->kept, &b->kept_capacity, b->length + bytes) : grow(&s->text, &s->text_capacity, b->start + b->length + bytes);
    if (!made) {
        h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
        return NULL;
    }
    char *at = block_text(b) + b->length;
    b->length += bytes;
    return at;
}

static char *put(char *at, const void *bytes, size_t length) {
    memcpy(at, bytes, length);
    return at + length;
}
#define PUT(at, literal) put(at, literal, sizeof literal - 1)

static void let_go(nghttp2_rcbuf **buffer) {
    if (*buffer) nghttp2_rcbuf_decref(*buffer);
    *buffer = NULL;
}

void h2_block_drop(claw_h2 *h2) {
    h2_block *b = &h2->block;
    let_go(&b->method);
    let_go(&b->path);
    let_go(&b->authority);
    let_go(&b->scheme);
    let_go(&b->protocol);
    free(b->kept);
    memset(b, 0, sizeof *b);
}

int h2_block_begin(claw_h2 *h2, uint32_t stream, bool is_trailers) {
    h2_block_drop(h2);
    h2_block *b = &h2->block;
    b->active = true;
    b->is_trailers = is_trailers;
    b->started = is_trailers;
    b->stream = stream;
    b->start = h2_scratch_here.text_length;
    b->content_length = -1;
    return 0;
}

bool h2_block_keep(claw_h2 *h2) {
    h2_block *b = &h2->block;
    if (!b->active || b->kept || !b->length) return true;
    size_t capacity = b->length + 1024;
    char *kept = malloc(capacity);
    if (!kept) return false;
    memcpy(kept, h2_scratch_here.text + b->start, b->length);
    b->kept = kept;
    b->kept_capacity = capacity;
    return true;
}

// ---- fields ------------------------------------------------------------------------------------

static bool hold(nghttp2_rcbuf **place, nghttp2_rcbuf *value) {
    if (*place) return false; // a pseudo-header field twice
    nghttp2_rcbuf_incref(value);
    *place = value;
    return true;
}

/// false: malformed.
static bool request_pseudo(claw_h2 *h2, nghttp2_vec name, nghttp2_rcbuf *value) {
    h2_block *b = &h2->block;
    nghttp2_vec v = text_of(value);
#define IS(literal) (name.len == sizeof literal - 1 && memcmp(name.base, literal, name.len) == 0)
    if (IS(":method")) return h2_is_token(v.base, v.len) && hold(&b->method, value);
    if (IS(":path")) return h2_is_path(v.base, v.len) && hold(&b->path, value);
    if (IS(":authority")) return h2_is_authority(v.base, v.len) && hold(&b->authority, value);
    if (IS(":scheme"))
        return (h2_is_same(v.base, v.len, (const uint8_t *)"http", 4) || h2_is_same(v.base, v.len, (const uint8_t *)"https", 5)) && hold(&b->scheme, value);
    if (IS(":protocol")) return h2->options.connect_protocol && h2_is_token(v.base, v.len) && hold(&b->protocol, value);
    return false;
}

static bool answer_pseudo(claw_h2 *h2, nghttp2_vec name, nghttp2_rcbuf *value) {
    h2_block *b = &h2->block;
    nghttp2_vec v = text_of(value);
    if (!IS(":status") || b->status || v.len != 3) return false;
    int64_t status = h2_number(v.base, v.len);
    if (status < 100 || status == 101) return false;
    b->status = (uint32_t)status;
    return true;
}

static bool is_literal(nghttp2_rcbuf *buffer, const char *literal) {
    nghttp2_vec v = text_of(buffer);
    return v.len == strlen(literal) && memcmp(v.base, literal, v.len) == 0;
}

/// Are the pseudo-header fields those of a request (§8.3.1, §8.5, RFC 8441 §4)?
static bool request_is_sound(const h2_block *b) {
    if (!b->method) return false;
    bool connect = is_literal(b->method, "CONNECT");
    if (connect && !b->protocol) return b->authority && !b->path && !b->scheme;
    if (b->protocol && (!connect || !b->authority)) return false;
    if (!b->path || !b->scheme) return false;
    nghttp2_vec path = text_of(b->path);
    if (path.base[0] == '/') return true;
    return path.len == 1 && path.base[0] == '*' && is_literal(b->method, "OPTIONS");
}

/// Writes the start line (and the host). false: malformed or out of memory.
static bool write_start(claw_h2 *h2) {
    h2_block *b = &h2->block;
    b->started = true;
    if (h2->options.is_client) {
        if (!b->status) return false;
        char *at = room(h2, 15);
        if (!at) return false;
        at = PUT(at, "HTTP/1.1 ");
        *at++ = (char)('0' + b->status / 100);
        *at++ = (char)('0' + b->status / 10 % 10);
        *at++ = (char)('0' + b->status % 10);
        PUT(at, " \r\n");
        return true;
    }
    if (!request_is_sound(b)) return false;
    nghttp2_vec method = text_of(b->method), authority = {0}, protocol = {0};
    if (b->authority) authority = text_of(b->authority);
    nghttp2_vec target = b->path ? text_of(b->path) : authority;
    if (b->protocol) {
        protocol = text_of(b->protocol);
        method = (nghttp2_vec){(uint8_t *)"GET", 3};
    }
    size_t length = method.len + 1 + target.len + sizeof " HTTP/1.1\r\n" - 1;
    if (b->authority) length += sizeof "host: \r\n" - 1 + authority.len;
    if (b->protocol) length += sizeof "connection: upgrade\r\nupgrade: \r\n" - 1 + protocol.len;
    char *at = room(h2, length);
    if (!at) return false;
    at = put(at, method.base, method.len);
    *at++ = ' ';
    at = put(at, target.base, target.len);
    at = PUT(at, " HTTP/1.1\r\n");
    if (b->authority) {
        at = PUT(at, "host: ");
        at = put(at, authority.base, authority.len);
        at = PUT(at, "\r\n");
    }
    if (b->protocol) {
        at = PUT(at, "connection: upgrade\r\nupgrade: ");
        at = put(at, protocol.base, protocol.len);
        PUT(at, "\r\n");
    }
    return true;
}

static void write_line(claw_h2 *h2, nghttp2_vec name, nghttp2_vec value) {
    char *at = room(h2, name.len + value.len + 4);
    if (!at) return;
    at = put(at, name.base, name.len);
    at = PUT(at, ": ");
    at = put(at, value.base, value.len);
    PUT(at, "\r\n");
}

/// One cookie line, whatever the pieces (§8.2.3).
static void write_cookie(claw_h2 *h2, nghttp2_vec name, nghttp2_vec value) {
    h2_block *b = &h2->block;
    if (!b->cookie_end) {
        write_line(h2, name, value);
        b->cookie_end = b->length - 2;
        return;
    }
    size_t behind = b->length - b->cookie_end;
    if (behind > 2 && ++b->crumbs > CRUMBS_OUT_OF_PLACE_MAX) {
        b->too_large = true;
        return;
    }
    if (!room(h2, value.len + 2)) return;
    char *at = block_text(b) + b->cookie_end;
    memmove(at + value.len + 2, at, behind);
    at = PUT(at, "; ");
    put(at, value.base, value.len);
    b->cookie_end += value.len + 2;
}

enum verdict { WRITE, COOKIE, LEAVE_OUT, MALFORMED };

static enum verdict judge_field(claw_h2 *h2, nghttp2_vec name, nghttp2_vec value) {
    h2_block *b = &h2->block;
    if (!h2_is_name(name.base, name.len) || !h2_is_value(value.base, value.len) || h2_is_hop(name.base, name.len)) return MALFORMED;
    if (IS("te")) {
        if (!h2_is_same(value.base, value.len, (const uint8_t *)"trailers", 8)) return MALFORMED;
        return b->is_trailers ? LEAVE_OUT : WRITE;
    }
    if (IS("content-length")) {
        if (b->is_trailers) return LEAVE_OUT;
        int64_t number = h2_number(value.base, value.len);
        if (number < 0 || (b->content_length >= 0 && number != b->content_length)) return MALFORMED;
        bool again = b->content_length >= 0;
        b->content_length = number;
        return again ? LEAVE_OUT : WRITE;
    }
    if (h2->options.is_client) return WRITE;
    if (IS("host")) {
        if (b->is_trailers) return LEAVE_OUT;
        if (b->has_host || !h2_is_authority(value.base, value.len)) return MALFORMED;
        b->has_host = true;
        if (!b->authority) return WRITE;
        nghttp2_vec authority = text_of(b->authority);
        return h2_is_same(value.base, value.len, authority.base, authority.len) ? LEAVE_OUT : MALFORMED;
    }
    if (IS("cookie")) return COOKIE;
    return WRITE;
}

int h2_block_field(claw_h2 *h2, nghttp2_rcbuf *name_buffer, nghttp2_rcbuf *value_buffer) {
    h2_block *b = &h2->block;
    nghttp2_vec name = text_of(name_buffer), value = text_of(value_buffer);
    uint64_t decoded = b->decoded + (uint64_t)name.len + value.len + 32;
    if (decoded > (uint64_t)h2->options.head_bytes_max * EXCESS_FACTOR) {
        h2_doom(h2, NGHTTP2_ENHANCE_YOUR_CALM, "header_list");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    b->decoded = (uint32_t)decoded;
    if (b->malformed) return 0;
    if (decoded > h2->options.head_bytes_max) b->too_large = true;
    if (name.len && name.base[0] == ':') {
        bool sound = !b->started && (h2->options.is_client ? answer_pseudo(h2, name, value_buffer) : request_pseudo(h2, name, value_buffer));
        if (!sound) b->malformed = true;
        return 0;
    }
    if (!b->started && !write_start(h2)) b->malformed = true;
    if (b->malformed) return h2->doom ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
    enum verdict verdict = judge_field(h2, name, value);
    if (verdict == MALFORMED) b->malformed = true;
    if (verdict == WRITE || (verdict == COOKIE && !b->cookie_end)) {
        if (++b->fields > h2->options.head_fields_max) b->too_large = true;
    }
    if (b->too_large || b->malformed) return 0;
    if (verdict == WRITE) write_line(h2, name, value);
    if (verdict == COOKIE) write_cookie(h2, name, value);
    return h2->doom ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}
#undef IS

// ---- the end of a block ------------------------------------------------------------------------

/// The finished text at its place in the scratch.
static bool settle_text(claw_h2 *h2) {
    h2_block *b = &h2->block;
    h2_scratch *s = &h2_scratch_here;
    if (b->kept) {
        b->start = s->text_length;
        if (!grow(&s->text, &s->text_capacity, b->start + b->length)) {
            h2_doom(h2, NGHTTP2_INTERNAL_ERROR, "no_memory");
            return false;
        }
        memcpy(s->text + b->start, b->kept, b->length);
        free(b->kept);
        b->kept = NULL;
    }
    s->text_length = b->start + b->length;
    return true;
}

/// What of a head beyond the limits the caller gets.
static bool write_short_start(claw_h2 *h2) {
    h2_block *b = &h2->block;
    b->length = 0;
    nghttp2_vec method = {(uint8_t *)"GET", 3}, path = {(uint8_t *)"/", 1}, host = {(uint8_t *)"invalid", 7};
    if (b->method && b->path && b->authority && !b->protocol) {
        nghttp2_vec m = text_of(b->method), p = text_of(b->path), a = text_of(b->authority);
        if (m.len + p.len + a.len <= SHORT_START_MAX) method = m, path = p, host = a;
    }
    char *at = room(h2, method.len + path.len + host.len + sizeof "  HTTP/1.1\r\nhost: \r\n" - 1);
    if (!at) return false;
    at = put(at, method.base, method.len);
    *at++ = ' ';
    at = put(at, path.base, path.len);
    at = PUT(at, " HTTP/1.1\r\nhost: ");
    at = put(at, host.base, host.len);
    PUT(at, "\r\n");
    return true;
}

/// Is the payload's length what content-length says, as far as the head tells? Notes what is expected.
static bool expect_payload(claw_h2 *h2, h2_stream *stream, bool ended) {
    h2_block *b = &h2->block;
    int64_t length = b->content_length;
    if (h2->options.is_client) {
        if (b->status / 100 == 1) return !ended;
        if (stream->is_head || b->status == 204 || b->status == 304) {
            stream->expected = 0; // whatever it says, no payload may come
            return true;
        }
    } else if (is_literal(b->method, "CONNECT")) {
        if (length >= 0) return false;
    }
    stream->expected = length;
    return !(ended && length > 0);
}

void h2_block_end(claw_h2 *h2, h2_stream *stream, bool ended) {
    h2_block *b = &h2->block;
    bool client = h2->options.is_client;
    if (!b->malformed && !b->started && !write_start(h2)) b->malformed = true;
    if (!b->malformed && !client && !b->is_trailers && !b->authority && !b->has_host && !b->too_large) b->malformed = true;
    if (b->is_trailers && !ended) b->malformed = true;
    if (!b->malformed && !b->is_trailers && !expect_payload(h2, stream, ended)) b->malformed = true;
    if (h2->doom) return;
    uint32_t flags = ended ? CLAW_H2_ENDED : 0;
    if (b->malformed) {
        h2->malformed++;
        h2_reset_ours(h2, stream, NGHTTP2_PROTOCOL_ERROR, true);
    } else if (b->too_large && (client || b->is_trailers)) {
        h2_reset_ours(h2, stream, NGHTTP2_ENHANCE_YOUR_CALM, true);
    } else if (!b->too_large || write_short_start(h2)) {
        if (b->too_large) flags |= CLAW_H2_TOO_LARGE;
        else if (b->protocol) flags |= CLAW_H2_TUNNEL;
        char *at = b->is_trailers ? NULL : room(h2, 2);
        if (at) PUT(at, "\r\n");
        uint32_t kind = b->is_trailers ? CLAW_H2_TRAILERS : client && b->status / 100 == 1 ? CLAW_H2_INTERIM : CLAW_H2_HEAD;
        if (kind == CLAW_H2_HEAD) stream->told_head = true;
        if (kind == CLAW_H2_TRAILERS) flags = 0;
        size_t length = b->length;
        if (settle_text(h2)) h2_tell(h2, kind, stream, stream->id, 0, flags, NULL, b->start, length);
    }
    h2_block_drop(h2);
}
