// The table of kernels of one instruction set. Each of json_avx2.c, json_sse2.c and json_portable.c makes one from the same
// json_machine.h over its own vectors; scan.c chooses.
#ifndef CSCAN_KERNELS_H
#define CSCAN_KERNELS_H
#include "include/CScan.h"

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
/// The child of `node` that the key (escapes undone) names, or NONE.
uint16_t cscan_json_child(const cscan_json_paths *paths, uint16_t node, const uint8_t *key, size_t length, bool is_escaped);
uint16_t cscan_json_element(const cscan_json_paths *paths, uint16_t node, uint32_t index);
/// A second time the same key: the values noted below its node are no longer the text's.
void cscan_json_forget(cscan_json *state, const cscan_json_paths *paths, uint16_t node, cscan_json_span *spans);
#endif
