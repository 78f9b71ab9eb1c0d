// JSON strings to text and text to JSON strings.
#include "kernels.h"
#include <string.h>

static int32_t unit(const uint8_t *p, const uint8_t *end) {
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
    uint32_t a = cscan_hex[p[2]], b = cscan_hex[p[3]], c = cscan_hex[p[4]], d = cscan_hex[p[5]];
    if (!a || !b || !c || !d) return -1;
    return (int32_t)((a & 15) << 12 | (b & 15) << 8 | (c & 15) << 4 | (d & 15));
}

/// Undoes the escape at *p, which is a backslash: writes one to four bytes to `out` and steps over it. Returns their number, 0 if malformed.
static size_t undo(const uint8_t **p, const uint8_t *end, uint8_t out[4]) {
    const uint8_t *at = *p;
    if (end - at < 2) return 0;
    if (at[1] != 'u') {
        switch (at[1]) {
        case '"': case '\\': case '/': out[0] = at[1]; break;
        case 'b': out[0] = '\b'; break;
        case 'f': out[0] = '\f'; break;
        case 'n': out[0] = '\n'; break;
        case 'r': out[0] = '\r'; break;
        case 't': out[0] = '\t'; break;
        default: return 0;
        }
        *p += 2;
        return 1;
    }
    int32_t first = unit(at, end);
    if (first < 0) return 0;
    *p += 6;
    uint32_t scalar = (uint32_t)first;
    if (scalar >= 0xD800 && scalar <= 0xDFFF) {
        int32_t second = scalar <= 0xDBFF ? unit(at + 6, end) : -1;
        if (second >= 0xDC00 && second <= 0xDFFF) {
            scalar = 0x10000 + ((scalar - 0xD800) << 10) + ((uint32_t)second - 0xDC00);
            *p += 6;
        } else {
            scalar = 0xFFFD;
        }
    }
    if (scalar < 0x80) {
        out[0] = (uint8_t)scalar;
        return 1;
    }
    if (scalar < 0x800) {
        out[0] = (uint8_t)(0xC0 | scalar >> 6);
        out[1] = (uint8_t)(0x80 | (scalar & 63));
        return 2;
    }
    if (scalar < 0x10000) {
        out[0] = (uint8_t)(0xE0 | scalar >> 12);
        out[1] = (uint8_t)(0x80 | (scalar >> 6 & 63));
        out[2] = (uint8_t)(0x80 | (scalar & 63));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | scalar >> 18);
    out[1] = (uint8_t)(0x80 | (scalar >> 12 & 63));
    out[2] = (uint8_t)(0x80 | (scalar >> 6 & 63));
    out[3] = (uint8_t)(0x80 | (scalar & 63));
    return 4;
}

ptrdiff_t cscan_json_unescape(const uint8_t *body, size_t length, uint8_t *into, size_t capacity) {
    const uint8_t *p = body, *const end = body + length;
    uint8_t *out = into, *const limit = into + capacity;
    while (p < end) {
        const uint8_t *backslash = memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((backslash ? backslash : end) - p);
        if ((size_t)(limit - out) < run) return -1;
        memmove(out, p, run);
        out += run;
        p += run;
        if (!backslash) break;
        uint8_t character[4];
        size_t width = undo(&p, end, character);
        if (width == 0 || (size_t)(limit - out) < width) return -1;
        memcpy(out, character, width);
        out += width;
    }
    return out - into;
}

bool cscan_json_equal(const uint8_t *body, size_t length, const uint8_t *text, size_t text_length) {
    const uint8_t *p = body, *const end = body + length;
    size_t at = 0;
    while (p < end) {
        if (*p != '\\') {
            if (at == text_length || text[at] != *p) return false;
            at++;
            p++;
            continue;
        }
        uint8_t character[4];
        size_t width = undo(&p, end, character);
        if (width == 0 || text_length - at < width || memcmp(text + at, character, width) != 0) return false;
        at += width;
    }
    return at == text_length;
}

/// Length of the maximal part of an ill-formed sequence at p (Unicode 3.9, U+FFFD substitution of maximal subparts): one to three bytes.
static size_t ill_formed(const uint8_t *p, const uint8_t *end) {
    uint8_t c = p[0], low = 0x80, high = 0xBF;
    size_t need;
    if (c >= 0xC2 && c <= 0xDF) need = 2;
    else if ((c & 0xF0) == 0xE0) { need = 3; if (c == 0xE0) low = 0xA0; if (c == 0xED) high = 0x9F; }
    else if (c >= 0xF0 && c <= 0xF4) { need = 4; if (c == 0xF0) low = 0x90; if (c == 0xF4) high = 0x8F; }
    else return 1;
    size_t n = 1;
    while (n < need && p + n < end && p[n] >= low && p[n] <= high) { n++; low = 0x80; high = 0xBF; }
    return n;
}

size_t cscan_json_escape(const uint8_t *bytes, size_t length, uint8_t *into, size_t capacity, size_t *consumed) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes, *const end = bytes + length;
    uint8_t *out = into, *const limit = into + capacity;
    while (p < end) {
        size_t room = (size_t)(limit - out);
        uint8_t c = *p;
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            size_t run = cscan_json_string(p, (size_t)(end - p));
            if (run > room) run = room;
            if (run == 0) break;
            memcpy(out, p, run);
            out += run;
            p += run;
            continue;
        }
        if (c >= 0x80) {
            // Whole characters, as many as there are up to the next ASCII byte.
            size_t n = 0, width;
            bool bad;
            do {
                uint8_t lead = p[n];
                width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
                if ((size_t)(end - p) - n < width || n + width > room || cscan_utf8_scalar(p + n, width, &bad) != width) break;
                n += width;
            } while (p + n < end && p[n] >= 0x80);
            if (n) {
                memcpy(out, p, n);
                out += n;
                p += n;
                continue;
            }
            bool is_whole = (size_t)(end - p) >= width && cscan_utf8_scalar(p, width, &bad) == width;
            if (is_whole || room < 6) break;
            memcpy(out, "\\ufffd", 6);
            out += 6;
            p += ill_formed(p, end);
            continue;
        }
        char letter = 0;
        switch (c) {
        case '"': case '\\': letter = (char)c; break;
        case '\b': letter = 'b'; break;
        case '\f': letter = 'f'; break;
        case '\n': letter = 'n'; break;
        case '\r': letter = 'r'; break;
        case '\t': letter = 't'; break;
        }
        if (letter) {
            if (room < 2) break;
            out[0] = '\\';
            out[1] = (uint8_t)letter;
            out += 2;
        } else {
            if (room < 6) break;
            memcpy(out, "\\u00", 4);
            out[4] = (uint8_t)digits[c >> 4];
            out[5] = (uint8_t)digits[c & 15];
            out += 6;
        }
        p++;
    }
    *consumed = (size_t)(p - bytes);
    return (size_t)(out - into);
}
