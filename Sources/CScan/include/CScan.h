// CScan: byte-scanning kernels with SIMD, pure functions over memory, no system calls.
#ifndef CSCAN_H
#define CSCAN_H
#include <stdint.h>
#include <stddef.h>
#include "cscan_http.h"
#include "cscan_json.h"

/// Offset of the first byte b that ends or complicates a JSON string: b == '"' || b == '\\' || b < 0x20 || b >= 0x80; length if none.
size_t cscan_json_string(const uint8_t *bytes, size_t length);

/// Offset of the first CR or LF; length if none.
size_t cscan_line_end(const uint8_t *bytes, size_t length);

/// Offset of the first occurrence of `wanted`; length if none.
size_t cscan_find(const void *bytes, size_t length, const void *wanted, size_t wanted_length);

/// Does this JSON text hold a key "finish_reason" with a string, "usage" with an object, "error" with anything but null, or "type" with a
/// name of the Responses API, at any depth? Quotes inside JSON strings are escaped, so text cannot be taken for a key.
int cscan_event_matters(const uint8_t *bytes, size_t length);

/// Which kernels run: chosen once, at the first call of any of them, by what the processor has.
enum { CSCAN_ISA_PORTABLE = 0, CSCAN_ISA_SSE2 = 1, CSCAN_ISA_AVX2 = 2 };

/// The kernels in use, one of the above.
int cscan_isa(void);

/// Takes the best kernels that are at most `isa` and says which those are. For tests and measurements: every choice gives the same answers.
int cscan_isa_limit(int isa);
#endif
