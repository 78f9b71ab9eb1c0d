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

INLINE uint64_t byte_mask(const uint8_t *p, uint8_t c) {
    __m128i v = _mm_set1_epi8((char)c);
    return mask(_mm_cmpeq_epi8(load(p), v)) | (uint64_t)mask(_mm_cmpeq_epi8(load(p + 16), v)) << 16
        | (uint64_t)mask(_mm_cmpeq_epi8(load(p + 32), v)) << 32 | (uint64_t)mask(_mm_cmpeq_epi8(load(p + 48), v)) << 48;
}
/// The bytes from `low` to `low + span`, after `bit` was set in them.
INLINE uint64_t range_mask(const uint8_t *p, uint8_t bit, uint8_t low, uint8_t span) {
    uint64_t all = 0;
    for (int i = 0; i < 4; i++) {
        __m128i v = _mm_sub_epi8(_mm_or_si128(load(p + 16 * i), _mm_set1_epi8((char)bit)), _mm_set1_epi8((char)low));
        all |= (uint64_t)mask(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8((char)span)), v)) << (16 * i);
    }
    return all;
}
/// A bit for each of the 64 bytes at p.
INLINE void classify(const uint8_t *p, uint64_t *quote, uint64_t *backslash, uint64_t *control) {
    *quote = byte_mask(p, '"');
    *backslash = byte_mask(p, '\\');
    *control = range_mask(p, 0, 0, 0x1F);
}
/// The letters and the slash that may follow a backslash.
INLINE uint64_t simple_mask(const uint8_t *p) {
    return byte_mask(p, 'n') | byte_mask(p, 't') | byte_mask(p, 'r') | byte_mask(p, '/') | byte_mask(p, 'b') | byte_mask(p, 'f');
}
INLINE uint64_t hex_mask(const uint8_t *p) { return range_mask(p, 0, '0', 9) | range_mask(p, 0x20, 'a', 5); }

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

#define HAS_BLOCKS 1
#include "json_machine.h"

const cscan_kernels cscan_kernels_sse2 = { CSCAN_ISA_SSE2, json_feed_sse2, utf8_run_sse2, json_string_sse2, line_end_sse2 };
#endif
