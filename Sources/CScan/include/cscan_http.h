// Byte classes of HTTP/1 (RFC 9110 §5, RFC 3986 §2) and the three scans a head is made of. The scans are inline because a head
// asks for some twenty of them, each over a dozen bytes: a call would cost as much as the work. SSE2 is part of every x86-64;
// elsewhere the tables alone do it.
#ifndef CSCAN_HTTP_H
#define CSCAN_HTTP_H
#include <stdint.h>
#include <stddef.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/// Tells Swift that the function neither allocates nor locks, which it cannot see for itself in C.
#define CSCAN_HTTP_PURE __attribute__((swift_attr("@_noLocks"))) static inline

enum {
    /// tchar (RFC 9110 §5.6.2): methods, field names, chunk extension names.
    cscan_http_token = 1,
    /// HTAB, SP, VCHAR, obs-text: what a field value may hold (RFC 9110 §5.5).
    cscan_http_value = 2,
    /// pchar and "/" without "%" and "?" (RFC 3986 §3.3): what a request-target holds besides escapes and the query's beginning.
    cscan_http_target = 4,
    /// A reg-name byte we take in an authority: unreserved and sub-delims but the comma (two hosts in one field), no escapes.
    cscan_http_host = 8,
    cscan_http_hex = 16,
    /// qdtext (RFC 9110 §5.6.4): inside quotes, without the quote and the backslash.
    cscan_http_quoted = 32,
    /// unreserved (RFC 3986 §2.3): an escape of such a byte means the byte.
    cscan_http_unreserved = 64,
    /// A letter, digit, "-" or "_": what nearly every field name consists of.
    cscan_http_plain = 128,
};

/// The classes of each byte, bits as above.
extern const uint8_t cscan_http_class[256];

CSCAN_HTTP_PURE const uint8_t *cscan_http_classes(void) { return cscan_http_class; }

#if defined(__SSE2__)
/// 0xFF in each lane whose byte lies in low … low + span.
static inline __m128i cscan_http_in_range(__m128i bytes, uint8_t low, uint8_t span) {
    __m128i shifted = _mm_sub_epi8(bytes, _mm_set1_epi8((char)low));
    return _mm_cmpeq_epi8(_mm_min_epu8(shifted, _mm_set1_epi8((char)span)), shifted);
}
#endif

/// Offset in from … to of the first byte that cannot stand in a field value (so: CR, LF, other controls, DEL); `to` if none.
CSCAN_HTTP_PURE size_t cscan_http_value_end(const uint8_t *bytes, size_t from, size_t to) {
    size_t at = from;
#if defined(__SSE2__)
    while (to - at >= 16) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(bytes + at));
        __m128i control = cscan_http_in_range(chunk, 0, 0x1f);
        __m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(chunk, _mm_set1_epi8(9)), control),
                                   _mm_cmpeq_epi8(chunk, _mm_set1_epi8(0x7f)));
        unsigned mask = (unsigned)_mm_movemask_epi8(bad);
        if (mask) return at + (size_t)__builtin_ctz(mask);
        at += 16;
    }
#endif
    while (at < to && (cscan_http_class[bytes[at]] & cscan_http_value)) at++;
    return at;
}

/// Offset in from … to of the first byte that is no token byte; `to` if none.
CSCAN_HTTP_PURE size_t cscan_http_token_end(const uint8_t *bytes, size_t from, size_t to) {
    size_t at = from;
#if defined(__SSE2__)
    while (to - at >= 16) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(bytes + at));
        __m128i folded = _mm_or_si128(chunk, _mm_set1_epi8(0x20));
        __m128i good = _mm_or_si128(cscan_http_in_range(folded, 'a', 25),
                       _mm_or_si128(cscan_http_in_range(chunk, '0', 9), _mm_cmpeq_epi8(chunk, _mm_set1_epi8('-'))));
        unsigned mask = (unsigned)_mm_movemask_epi8(good) ^ 0xffff;
        if (mask) {
            at += (size_t)__builtin_ctz(mask);
            if (!(cscan_http_class[bytes[at]] & cscan_http_token)) return at;
            at++;
        } else {
            at += 16;
        }
    }
#endif
    while (at < to && (cscan_http_class[bytes[at]] & cscan_http_token)) at++;
    return at;
}

/// Offset in from … to of the first byte that is neither pchar nor "/" (an escape's "%" and "?" stop too); `to` if none.
CSCAN_HTTP_PURE size_t cscan_http_target_end(const uint8_t *bytes, size_t from, size_t to) {
    size_t at = from;
#if defined(__SSE2__)
    while (to - at >= 16) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(bytes + at));
        // & ' ( ) * + , - . / 0-9 : ; then @ A-Z, then a-z, and the underscore; the others go by the table.
        __m128i good = _mm_or_si128(_mm_or_si128(cscan_http_in_range(chunk, '&', ';' - '&'), cscan_http_in_range(chunk, '@', 26)),
                       _mm_or_si128(cscan_http_in_range(chunk, 'a', 25), _mm_cmpeq_epi8(chunk, _mm_set1_epi8('_'))));
        unsigned mask = (unsigned)_mm_movemask_epi8(good) ^ 0xffff;
        if (mask) {
            at += (size_t)__builtin_ctz(mask);
            if (!(cscan_http_class[bytes[at]] & cscan_http_target)) return at;
            at++;
        } else {
            at += 16;
        }
    }
#endif
    while (at < to && (cscan_http_class[bytes[at]] & cscan_http_target)) at++;
    return at;
}

/// Whether the byte stands in from … to. `readable` (at least `to`) is how far memory may be looked at.
CSCAN_HTTP_PURE int cscan_http_contains(const uint8_t *bytes, size_t from, size_t to, size_t readable, uint8_t byte) {
#if defined(__SSE2__)
    while (readable - from >= 16 && from < to) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(bytes + from));
        unsigned mask = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(chunk, _mm_set1_epi8((char)byte)));
        size_t left = to - from;
        if (left < 16) return (mask & ((1u << left) - 1)) != 0;
        if (mask) return 1;
        from += 16;
    }
#endif
    for (; from < to; from++) if (bytes[from] == byte) return 1;
    return 0;
}
#endif
