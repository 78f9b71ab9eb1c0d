// The table of kernels of one instruction set. Each of json_avx2.c, json_sse2.c and json_portable.c makes one from the same
// json_machine.h over its own vectors; scan.c chooses.
#ifndef CSCAN_KERNELS_H
#define CSCAN_KERNELS_H
#include "include/CScan.h"
#include <string.h>

typedef struct {
    int isa;
    int (*json_feed)(cscan_json *, const cscan_json_paths *, const uint8_t *, size_t, bool, cscan_json_span *);
    size_t (*utf8)(const uint8_t *, size_t, bool *);
    size_t (*json_string)(const uint8_t *, size_t);
    size_t (*line_end)(const uint8_t *, size_t);
} cscan_kernels;

extern const cscan_kernels cscan_kernels_portable;
#if defined(__x86_64__)
extern const cscan_kernels cscan_kernels_sse2, cscan_kernels_avx2;
#endif

/// By hand: length of the whole characters at the start; see cscan_utf8.
size_t cscan_utf8_scalar(const uint8_t *bytes, size_t length, bool *bad);
/// By byte: 1 for what may follow a backslash, 2 for u.
extern const uint8_t cscan_json_escapes[256];
/// By byte: 16 + value for hexadecimal digits, 0 for others.
extern const uint8_t cscan_hex[256];
/// The child of `node` that a key with escapes names, or NONE.
uint16_t cscan_json_escaped_child(const cscan_json_paths *paths, uint16_t node, const uint8_t *key, size_t length);
/// The child that is the element `index`, or NONE.
uint16_t cscan_json_element(const cscan_json_paths *paths, uint16_t node, uint32_t index);
/// The child of `node` that the key names, or NONE; `head` is the key's.
static inline __attribute__((always_inline)) uint16_t cscan_json_child(
    const cscan_json_paths *paths, uint16_t node, const uint8_t *key, size_t length, uint64_t head
) {
    uint16_t at = paths->buckets[cscan_json_key_bucket(node, head, length)];
    for (; at != CSCAN_JSON_NONE; at = paths->nodes[at].next) {
        const cscan_json_node *n = &paths->nodes[at];
        if (n->head != head || n->key_length != length || n->parent != node || (n->flags & CSCAN_JSON_IS_INDEX)) continue;
        if (length <= 8) return at;
        // By words, the last one overlapping the one before.
        const uint8_t *own = paths->keys + n->key_offset;
        size_t i = 8;
        uint64_t a, b;
        for (;; i += 8) {
            if (i + 8 > length) i = length - 8;
            memcpy(&a, key + i, 8);
            memcpy(&b, own + i, 8);
            if (a != b) break;
            if (i + 8 == length) return at;
        }
    }
    return CSCAN_JSON_NONE;
}

/// A second time the same key: the values noted below its node are no longer the text's.
void cscan_json_forget(cscan_json *state, const cscan_json_paths *paths, uint16_t node, cscan_json_span *spans);
#endif
