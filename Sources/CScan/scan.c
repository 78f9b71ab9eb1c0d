// Chooses the kernels once, by what the processor has, and holds what all of them share.
#include "kernels.h"
#include <stdatomic.h>
#include <string.h>

static const cscan_kernels *best(int limit) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (limit >= CSCAN_ISA_AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
        return &cscan_kernels_avx2;
    if (limit >= CSCAN_ISA_SSE2) return &cscan_kernels_sse2;
#endif
    (void)limit;
    return &cscan_kernels_portable;
}

// Null until the first call. Two threads that come at once both store the same answer.
static _Atomic(const cscan_kernels *) chosen;

static __attribute__((noinline)) const cscan_kernels *choose(void) {
    const cscan_kernels *k = best(CSCAN_ISA_AVX2);
    atomic_store_explicit(&chosen, k, memory_order_relaxed);
    return k;
}

static inline const cscan_kernels *kernels(void) {
    const cscan_kernels *k = atomic_load_explicit(&chosen, memory_order_relaxed);
    return __builtin_expect(k != NULL, 1) ? k : choose();
}

int cscan_isa(void) { return kernels()->isa; }

int cscan_isa_limit(int isa) {
    const cscan_kernels *k = best(isa);
    atomic_store_explicit(&chosen, k, memory_order_relaxed);
    return k->isa;
}

int cscan_json_feed(cscan_json *state, const cscan_json_paths *paths, const uint8_t *bytes, size_t length, bool last, cscan_json_span *spans) {
    return kernels()->json_feed(state, paths, bytes, length, last, spans);
}
size_t cscan_utf8(const uint8_t *bytes, size_t length, bool *bad) { return kernels()->utf8(bytes, length, bad); }
size_t cscan_json_string(const uint8_t *bytes, size_t length) { return kernels()->json_string(bytes, length); }
size_t cscan_line_end(const uint8_t *bytes, size_t length) { return kernels()->line_end(bytes, length); }

const uint8_t cscan_json_escapes[256] = {
    ['"'] = 1, ['\\'] = 1, ['/'] = 1, ['b'] = 1, ['f'] = 1, ['n'] = 1, ['r'] = 1, ['t'] = 1, ['u'] = 2,
};

const uint8_t cscan_hex[256] = {
    ['0'] = 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    ['A'] = 26, 27, 28, 29, 30, 31,
    ['a'] = 26, 27, 28, 29, 30, 31,
};

// The well-formed sequences of Unicode's table 3-7, one branch per kind of lead byte.
size_t cscan_utf8_scalar(const uint8_t *bytes, size_t length, bool *bad) {
    const uint8_t *p = bytes, *end = bytes + length;
    *bad = false;
    while (p < end) {
        uint8_t c = *p;
        if (c < 0x80) {
            while (end - p >= 8) {
                uint64_t word;
                memcpy(&word, p, 8);
                if (word & 0x8080808080808080u) break;
                p += 8;
            }
            while (p < end && *p < 0x80) p++;
            continue;
        }
        uint8_t low = 0x80, high = 0xBF;
        int more;
        if (c >= 0xC2 && c <= 0xDF) more = 1;
        else if ((c & 0xF0) == 0xE0) {
            more = 2;
            if (c == 0xE0) low = 0xA0;
            if (c == 0xED) high = 0x9F;
        } else if (c >= 0xF0 && c <= 0xF4) {
            more = 3;
            if (c == 0xF0) low = 0x90;
            if (c == 0xF4) high = 0x8F;
        } else { *bad = true; break; }
        if (end - p == 1) break;
        if (p[1] < low || p[1] > high) { *bad = true; break; }
        if (more > 1) {
            if (end - p == 2) break;
            if ((p[2] & 0xC0) != 0x80) { *bad = true; break; }
            if (more > 2) {
                if (end - p == 3) break;
                if ((p[3] & 0xC0) != 0x80) { *bad = true; break; }
            }
        }
        p += more + 1;
    }
    return (size_t)(p - bytes);
}

uint16_t cscan_json_child(const cscan_json_paths *paths, uint16_t node, const uint8_t *key, size_t length, bool is_escaped) {
    uint8_t plain[CSCAN_JSON_KEY_MAX + 1];
    if (__builtin_expect(is_escaped, 0)) {
        // Six bytes of escape make at least one byte of text.
        if (length > (size_t)paths->key_longest * 6) return CSCAN_JSON_NONE;
        ptrdiff_t written = cscan_json_unescape(key, length, plain, paths->key_longest);
        if (written < 0) return CSCAN_JSON_NONE;
        key = plain;
        length = (size_t)written;
    }
    uint16_t at = paths->buckets[cscan_json_key_bucket(node, key, length)];
    while (at != CSCAN_JSON_NONE) {
        const cscan_json_node *n = &paths->nodes[at];
        if (n->parent == node && n->key_length == length && !(n->flags & CSCAN_JSON_IS_INDEX)) {
            const uint8_t *own = paths->keys + n->key_offset;
            size_t i = 0;
            while (i < length && own[i] == key[i]) i++;
            if (i == length) return at;
        }
        at = n->next;
    }
    return CSCAN_JSON_NONE;
}

uint16_t cscan_json_element(const cscan_json_paths *paths, uint16_t node, uint32_t index) {
    uint16_t at = paths->buckets[cscan_json_index_bucket(node, index)];
    while (at != CSCAN_JSON_NONE) {
        const cscan_json_node *n = &paths->nodes[at];
        if (n->parent == node && (n->flags & CSCAN_JSON_IS_INDEX) && n->key_offset == index) return at;
        at = n->next;
    }
    return CSCAN_JSON_NONE;
}

void cscan_json_forget(cscan_json *state, const cscan_json_paths *paths, uint16_t node, cscan_json_span *spans) {
    for (uint32_t n = node; n < paths->nodes[node].end; n++) {
        if (n != node) state->seen[n >> 6] &= ~(1ull << (n & 63));
        for (uint8_t path = paths->nodes[n].path; path != CSCAN_JSON_NO_PATH; path = paths->alias[path]) {
            spans[path].offset = spans[path].length = 0;
            spans[path].kind = CSCAN_JSON_MISSING;
            spans[path].is_escaped = spans[path].is_true = false;
        }
    }
}
