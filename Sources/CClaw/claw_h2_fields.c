// claw_h2_fields: what a name, a value, a path and an authority may consist of, and lines of text as fields. Stricter than RFC 9113 §8.2.1 asks
// where HTTP/1.1 is stricter, because what passes here is read as HTTP/1.1 afterwards.
#include "claw_h2_inside.h"
#include <string.h>

enum { NAME = 1, TOKEN = 2, VALUE = 4, PATH = 8, AUTHORITY = 16 };

static uint8_t classes[256];

__attribute__((constructor)) static void make_classes(void) {
    static const char *token_marks = "!#$%&'*+-.^_`|~";
    static const char *authority_marks = "-._~%!$&'()*+,;=:[]";
    for (int c = 0; c < 256; c++) {
        bool digit = c >= '0' && c <= '9', lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
        uint8_t is = 0;
        if (c && (digit || lower || upper || strchr(token_marks, c))) is |= TOKEN | (upper ? 0 : NAME);
        if (c == '\t' || (c >= 0x20 && c != 0x7f)) is |= VALUE;
        if (c > 0x20 && c < 0x7f && c != '#') is |= PATH;
        if (c && (digit || lower || upper || strchr(authority_marks, c))) is |= AUTHORITY;
        classes[c] = is;
    }
}

static bool all(const uint8_t *bytes, size_t length, uint8_t wanted) {
    for (size_t i = 0; i < length; i++)
        if (!(classes[bytes[i]] & wanted)) return false;
    return true;
}

bool h2_is_name(const uint8_t *bytes, size_t length) { return length > 0 && all(bytes, length, NAME); }
bool h2_is_token(const uint8_t *bytes, size_t length) { return length > 0 && all(bytes, length, TOKEN); }
bool h2_is_path(const uint8_t *bytes, size_t length) { return length > 0 && all(bytes, length, PATH); }
bool h2_is_authority(const uint8_t *bytes, size_t length) { return length > 0 && all(bytes, length, AUTHORITY); }

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t'; }

bool h2_is_value(const uint8_t *bytes, size_t length) {
    if (length && (is_blank(bytes[0]) || is_blank(bytes[length - 1]))) return false;
    return all(bytes, length, VALUE);
}

bool h2_is_same(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length) {
    return a_length == b_length && strncasecmp((const char *)a, (const char *)b, a_length) == 0;
}

bool h2_is_hop(const uint8_t *name, size_t length) {
    switch (length) {
    case 7: return strncasecmp((const char *)name, "upgrade", 7) == 0;
    case 10: return strncasecmp((const char *)name, "connection", 10) == 0 || strncasecmp((const char *)name, "keep-alive", 10) == 0;
    case 16: return strncasecmp((const char *)name, "proxy-connection", 16) == 0;
    case 17: return strncasecmp((const char *)name, "transfer-encoding", 17) == 0;
    default: return false;
    }
}

int64_t h2_number(const uint8_t *bytes, size_t length) {
    if (length == 0 || length > 18) return -1;
    int64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] < '0' || bytes[i] > '9') return -1;
        value = value * 10 + (bytes[i] - '0');
    }
    return value;
}

int32_t h2_lines(const char *lines, size_t length, nghttp2_nv *fields, int32_t at, int32_t capacity, bool leave_out_hop) {
    const uint8_t *p = (const uint8_t *)lines, *end = p + length;
    while (p < end) {
        const uint8_t *line_end = memchr(p, '\n', (size_t)(end - p));
        if (!line_end || line_end == p || line_end[-1] != '\r') return -1;
        const uint8_t *next = line_end + 1;
        line_end--;
        const uint8_t *colon = memchr(p, ':', (size_t)(line_end - p));
        if (!colon || !h2_is_token(p, (size_t)(colon - p))) return -1;
        const uint8_t *value = colon + 1;
        while (value < line_end && is_blank(*value)) value++;
        while (line_end > value && is_blank(line_end[-1])) line_end--;
        if (!all(value, (size_t)(line_end - value), VALUE)) return -1;
        size_t name_length = (size_t)(colon - p);
        bool hop = h2_is_hop(p, name_length);
        if (name_length == 2 && strncasecmp((const char *)p, "te", 2) == 0)
            hop = !h2_is_same(value, (size_t)(line_end - value), (const uint8_t *)"trailers", 8);
        if (hop && !leave_out_hop) return -1;
        if (!hop) {
            if (at == capacity) return -1;
            fields[at++] = (nghttp2_nv){(uint8_t *)p, (uint8_t *)value, name_length, (size_t)(line_end - value), NGHTTP2_NV_FLAG_NONE};
        }
        p = next;
    }
    return at;
}
