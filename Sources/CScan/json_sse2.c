// Kernels over 16-byte vectors, with what every x86-64 processor has. UTF-8 beyond ASCII goes by hand: SSE2 has no byte shuffle.
#if defined(__x86_64__)
#include <emmintrin.h>
#include <string.h>
#include "kernels.h"

#define KERNEL(name) name##_sse2
#define INLINE static inline __attribute__((always_inline))

INLINE __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE uint32_t mask(__m128i v) { return (uint32_t)_mm_movemask_epi8(v); }
INLINE __m128i special(__m128i v) {
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1F)), v);
    return _mm_or_si128(_mm_or_si128(quote, backslash), control);
}
INLINE __m128i ends_line(__m128i v) { return _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\n')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\r'))); }

INLINE const uint8_t *plain_run(const uint8_t *base, const uint8_t *p, const uint8_t *end) {
    for (; end - p >= 16; p += 16) {
        uint32_t m = mask(special(load(p)));
        if (m) return p + __builtin_ctz(m);
    }
    if (p == end) return end;
    if (end - base >= 16) {
        uint32_t m = mask(special(load(end - 16))) >> (16 - (end - p));
        return m ? p + __builtin_ctz(m) : end;
    }
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20) p++;
    return p;
}

static size_t KERNEL(utf8_run)(const uint8_t *bytes, size_t length, bool *bad) {
    const uint8_t *p = bytes, *const end = bytes + length;
    while (end - p >= 64) {
        __m128i any = _mm_or_si128(_mm_or_si128(load(p), load(p + 16)), _mm_or_si128(load(p + 32), load(p + 48)));
        if (mask(any)) break;
        p += 64;
    }
    return (size_t)(p - bytes) + cscan_utf8_scalar(p, (size_t)(end - p), bad);
}
#define utf8_run utf8_run_sse2

static size_t KERNEL(json_string)(const uint8_t *bytes, size_t length) {
    size_t i = 0;
    for (; length - i >= 16; i += 16) {
        __m128i v = load(bytes + i);
        uint32_t m = mask(_mm_or_si128(special(v), v));
        if (m) return i + (size_t)__builtin_ctz(m);
    }
    while (i < length && bytes[i] != '"' && bytes[i] != '\\' && bytes[i] >= 0x20 && bytes[i] < 0x80) i++;
    return i;
}

static size_t KERNEL(line_end)(const uint8_t *bytes, size_t length) {
    size_t i = 0;
    for (; length - i >= 16; i += 16) {
        uint32_t m = mask(ends_line(load(bytes + i)));
        if (m) return i + (size_t)__builtin_ctz(m);
    }
    while (i < length && bytes[i] != '\n' && bytes[i] != '\r') i++;
    return i;
}

#include "json_machine.h"

const cscan_kernels cscan_kernels_sse2 = { CSCAN_ISA_SSE2, json_feed_sse2, utf8_run_sse2, json_string_sse2, line_end_sse2 };
#endif
