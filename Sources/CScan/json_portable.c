// Kernels over 8-byte words in plain C, for processors without kernels of their own. Words are read little end first, as all our
// targets are; the byte tests are those of "Bit Twiddling Hacks" (S. E. Anderson), exact in their lowest hit.
#include <string.h>
#include "kernels.h"
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the word kernels find the first byte by counting zeros from the low end"
#endif

#define KERNEL(name) name##_portable
#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t load(const uint8_t *p) { uint64_t w; memcpy(&w, p, 8); return w; }
#define ONES 0x0101010101010101u
#define HIGHS 0x8080808080808080u
/// The high bit of the lowest byte that is zero (bits above it may be set too).
INLINE uint64_t zero(uint64_t w) { return (w - ONES) & ~w & HIGHS; }
INLINE uint64_t equal(uint64_t w, uint8_t c) { return zero(w ^ (ONES * c)); }
/// The same for a byte under 0x20.
INLINE uint64_t control(uint64_t w) { return (w - ONES * 0x20) & ~w & HIGHS; }
INLINE uint64_t special(uint64_t w) { return equal(w, '"') | equal(w, '\\') | control(w); }

INLINE const uint8_t *plain_run(const uint8_t *base, const uint8_t *p, const uint8_t *end) {
    (void)base;
    for (; end - p >= 8; p += 8) {
        uint64_t m = special(load(p));
        if (m) return p + (__builtin_ctzll(m) >> 3);
    }
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20) p++;
    return p;
}
#define utf8_run cscan_utf8_scalar

static size_t KERNEL(json_string)(const uint8_t *bytes, size_t length) {
    size_t i = 0;
    for (; length - i >= 8; i += 8) {
        uint64_t w = load(bytes + i), m = special(w) | (w & HIGHS);
        if (m) return i + (size_t)(__builtin_ctzll(m) >> 3);
    }
    while (i < length && bytes[i] != '"' && bytes[i] != '\\' && bytes[i] >= 0x20 && bytes[i] < 0x80) i++;
    return i;
}

static size_t KERNEL(line_end)(const uint8_t *bytes, size_t length) {
    size_t i = 0;
    for (; length - i >= 8; i += 8) {
        uint64_t w = load(bytes + i), m = equal(w, '\n') | equal(w, '\r');
        if (m) return i + (size_t)(__builtin_ctzll(m) >> 3);
    }
    while (i < length && bytes[i] != '\n' && bytes[i] != '\r') i++;
    return i;
}

#include "json_machine.h"

const cscan_kernels cscan_kernels_portable = { CSCAN_ISA_PORTABLE, json_feed_portable, cscan_utf8_scalar, json_string_portable, line_end_portable };
