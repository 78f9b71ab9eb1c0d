// A first look at the data of a stream event: could it state more than one more piece of text? Only then is it worth a full scan.
#include "CScan.h"
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static size_t skip_to_value(const uint8_t *bytes, size_t at, size_t length) {
    while (at < length && (bytes[at] == ':' || bytes[at] == ' ' || bytes[at] == '\n' || bytes[at] == '\r' || bytes[at] == '\t')) at++;
    return at;
}

static int is_key(const uint8_t *bytes, size_t at, size_t length, const char *key, size_t key_length) {
    return length - at > key_length && memcmp(bytes + at, key, key_length) == 0;
}

/// A quote at `at`: does a key begin there whose value matters?
static int matters(const uint8_t *bytes, size_t at, size_t length) {
    size_t value;
    switch (bytes[at + 1]) {
    case 'f':
        if (!is_key(bytes, at, length, "\"finish_reason\"", 15)) return 0;
        value = skip_to_value(bytes, at + 15, length);
        return value < length && bytes[value] == '"';
    case 'u':
        if (!is_key(bytes, at, length, "\"usage\"", 7)) return 0;
        value = skip_to_value(bytes, at + 7, length);
        return value < length && bytes[value] == '{';
    case 'e':
        if (!is_key(bytes, at, length, "\"error\"", 7)) return 0;
        value = skip_to_value(bytes, at + 7, length);
        return value < length && bytes[value] != 'n';
    case 't':
        if (!is_key(bytes, at, length, "\"type\"", 6)) return 0;
        value = skip_to_value(bytes, at + 6, length);
        return length - value > 10 && (memcmp(bytes + value, "\"response.", 10) == 0 || memcmp(bytes + value, "\"error\"", 7) == 0);
    default: return 0;
    }
}

int cscan_event_matters(const uint8_t *bytes, size_t length) {
    size_t at = 0;
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), f = _mm_set1_epi8('f'), u = _mm_set1_epi8('u'), e = _mm_set1_epi8('e'), t = _mm_set1_epi8('t');
    while (at + 17 <= length) {
        __m128i here = _mm_loadu_si128((const __m128i *)(bytes + at));
        __m128i next = _mm_loadu_si128((const __m128i *)(bytes + at + 1));
        __m128i letter = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(next, f), _mm_cmpeq_epi8(next, u)),
                                      _mm_or_si128(_mm_cmpeq_epi8(next, e), _mm_cmpeq_epi8(next, t)));
        unsigned hits = (unsigned)_mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(here, quote), letter));
        while (hits) {
            if (matters(bytes, at + (size_t)__builtin_ctz(hits), length)) return 1;
            hits &= hits - 1;
        }
        at += 16;
    }
#endif
    for (; at + 1 < length; at++) {
        if (bytes[at] == '"' && matters(bytes, at, length)) return 1;
    }
    return 0;
}
