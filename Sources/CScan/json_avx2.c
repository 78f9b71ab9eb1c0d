// Kernels over 32-byte vectors. UTF-8 is checked with the table look-ups of Keiser and Lemire, "Validating UTF-8 in less than one
// instruction per byte" (2021).
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#include "kernels.h"
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)

#define KERNEL(name) name##_avx2
#define INLINE static inline __attribute__((always_inline))

INLINE __m256i load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

/// 0xFF where a byte is a quote, a backslash or a control character.
INLINE __m256i special(__m256i v) {
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    __m256i backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
    __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1F)), v);
    return _mm256_or_si256(_mm256_or_si256(quote, backslash), control);
}
INLINE uint32_t mask(__m256i v) { return (uint32_t)_mm256_movemask_epi8(v); }

INLINE const uint8_t *plain_run(const uint8_t *base, const uint8_t *p, const uint8_t *end) {
    if (__builtin_expect(end - p >= 32, 1)) {
        uint32_t m = mask(special(load(p)));
        if (m) return p + _tzcnt_u32(m);
        p += 32;
        while (end - p >= 128) {
            __m256i a = special(load(p)), b = special(load(p + 32)), c = special(load(p + 64)), d = special(load(p + 96));
            __m256i any = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
            if (!_mm256_testz_si256(any, any)) {
                uint64_t low = mask(a) | (uint64_t)mask(b) << 32;
                if (low) return p + _tzcnt_u64(low);
                return p + 64 + _tzcnt_u64(mask(c) | (uint64_t)mask(d) << 32);
            }
            p += 128;
        }
        while (end - p >= 32) {
            m = mask(special(load(p)));
            if (m) return p + _tzcnt_u32(m);
            p += 32;
        }
    }
    if (p == end) return end;
    if (end - base >= 32) {
        // The last vector of the text so far, its bytes before p shifted out.
        uint32_t m = mask(special(load(end - 32))) >> (32 - (end - p));
        return m ? p + _tzcnt_u32(m) : end;
    }
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20) p++;
    return p;
}

INLINE __m256i behind(__m256i v, __m256i before, const int n) {
    __m256i across = _mm256_permute2x128_si256(before, v, 0x21);
    switch (n) {
    case 1: return _mm256_alignr_epi8(v, across, 15);
    case 2: return _mm256_alignr_epi8(v, across, 14);
    default: return _mm256_alignr_epi8(v, across, 13);
    }
}

#define TABLE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)
enum {
    TOO_SHORT = 1 << 0, TOO_LONG = 1 << 1, OVERLONG_3 = 1 << 2, SURROGATE = 1 << 4, OVERLONG_2 = 1 << 5, TWO_CONTS = 1 << 7,
    TOO_LARGE = 1 << 3, TOO_LARGE_1000 = 1 << 6, OVERLONG_4 = 1 << 6, CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS
};

/// Not zero where the bytes of `v`, with `before` in front, break UTF-8's rules.
INLINE __m256i utf8_errors(__m256i v, __m256i before) {
    const __m256i nibble = _mm256_set1_epi8(0x0F);
    const __m256i first_high = TABLE(
        TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
        (char)TWO_CONTS, (char)TWO_CONTS, (char)TWO_CONTS, (char)TWO_CONTS,
        TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE, TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4);
    const __m256i first_low = TABLE(
        (char)(CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4), (char)(CARRY | OVERLONG_2), (char)CARRY, (char)CARRY, (char)(CARRY | TOO_LARGE),
        (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000),
        (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000),
        (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000),
        (char)(CARRY | TOO_LARGE | TOO_LARGE_1000 | SURROGATE), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000));
    const __m256i second_high = TABLE(
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
        (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4), (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE),
        (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE), (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE),
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT);
    __m256i one = behind(v, before, 1);
    __m256i pairs = _mm256_and_si256(
        _mm256_and_si256(
            _mm256_shuffle_epi8(first_high, _mm256_and_si256(_mm256_srli_epi16(one, 4), nibble)),
            _mm256_shuffle_epi8(first_low, _mm256_and_si256(one, nibble))),
        _mm256_shuffle_epi8(second_high, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble)));
    __m256i third = _mm256_subs_epu8(behind(v, before, 2), _mm256_set1_epi8((char)(0xE0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(behind(v, before, 3), _mm256_set1_epi8((char)(0xF0 - 0x80)));
    __m256i must = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(must, pairs);
}

/// Steps back from `p` to the start of a character that `p` cuts, if it does.
INLINE const uint8_t *whole_before(const uint8_t *floor, const uint8_t *p) {
    for (int k = 1; k <= 3 && p - k >= floor; k++) {
        uint8_t c = p[-k];
        if ((c & 0xC0) == 0x80) continue;
        int need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        return need > k ? p - k : p;
    }
    return p;
}

static size_t KERNEL(utf8_run)(const uint8_t *bytes, size_t length, bool *bad) {
    const uint8_t *p = bytes, *const end = bytes + length;
    *bad = false;
    // All ASCII?
    while (end - p >= 128) {
        __m256i any = _mm256_or_si256(_mm256_or_si256(load(p), load(p + 32)), _mm256_or_si256(load(p + 64), load(p + 96)));
        if (mask(any)) break;
        p += 128;
    }
    while (end - p >= 32 && !mask(load(p))) p += 32;
    if (end - p < 32) {
        if (p == end) return length;
        if (length >= 32 && !mask(load(end - 32))) return length;
    }
    __m256i before = _mm256_setzero_si256();
    while (end - p >= 32) {
        __m256i v = load(p);
        __m256i wrong = utf8_errors(v, before);
        if (__builtin_expect(!_mm256_testz_si256(wrong, wrong), 0)) break;
        before = v;
        p += 32;
    }
    // The rest, or the vector that holds the first wrong byte, by hand.
    p = whole_before(bytes, p);
    return (size_t)(p - bytes) + cscan_utf8_scalar(p, (size_t)(end - p), bad);
}
#define utf8_run utf8_run_avx2

static size_t KERNEL(json_string)(const uint8_t *bytes, size_t length) {
    size_t i = 0;
    for (; length - i >= 32; i += 32) {
        __m256i v = load(bytes + i);
        uint32_t m = mask(_mm256_or_si256(special(v), v));
        if (m) return i + _tzcnt_u32(m);
    }
    if (i < length && length >= 32) {
        __m256i v = load(bytes + length - 32);
        uint32_t m = mask(_mm256_or_si256(special(v), v)) >> (32 - (length - i));
        return m ? i + _tzcnt_u32(m) : length;
    }
    while (i < length && bytes[i] != '"' && bytes[i] != '\\' && bytes[i] >= 0x20 && bytes[i] < 0x80) i++;
    return i;
}

INLINE __m256i ends_line(__m256i v) {
    return _mm256_or_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('\n')), _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\r')));
}

static size_t KERNEL(line_end)(const uint8_t *bytes, size_t length) {
    size_t i = 0;
    for (; length - i >= 64; i += 64) {
        __m256i a = ends_line(load(bytes + i)), b = ends_line(load(bytes + i + 32));
        uint64_t m = mask(a) | (uint64_t)mask(b) << 32;
        if (m) return i + _tzcnt_u64(m);
    }
    if (length - i >= 32) {
        uint32_t m = mask(ends_line(load(bytes + i)));
        if (m) return i + _tzcnt_u32(m);
        i += 32;
    }
    if (i < length && length >= 32) {
        uint32_t m = mask(ends_line(load(bytes + length - 32))) >> (32 - (length - i));
        return m ? i + _tzcnt_u32(m) : length;
    }
    while (i < length && bytes[i] != '\n' && bytes[i] != '\r') i++;
    return i;
}

#include "json_machine.h"

#pragma clang attribute pop
const cscan_kernels cscan_kernels_avx2 = { CSCAN_ISA_AVX2, json_feed_avx2, utf8_run_avx2, json_string_avx2, line_end_avx2 };
#endif
