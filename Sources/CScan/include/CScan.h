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

/// Offsets of the values of the last "usage" and the last "finish_reason" key of a JSON text; 0: there is none.
typedef struct cscan_answer_end { size_t usage, finish; } cscan_answer_end;
void cscan_find_answer_end(const uint8_t *bytes, size_t length, cscan_answer_end *end);

/// Token counts of an OpenAI usage object; -1: not said.
typedef struct cscan_usage { int64_t input, output, cached, reasoning, total; } cscan_usage;
/// Reads the usage object that begins at `at`. 1 when it was as expected; 0 when something is odd (a count that is no plain number of at most
/// 12 digits, deeper nesting, an escape, a cut): then the full scanner decides.
int cscan_read_usage(const uint8_t *bytes, size_t at, size_t length, cscan_usage *usage);

/// Which kernels run: chosen once, at the first call of any of them, by what the processor has.
enum { CSCAN_ISA_PORTABLE = 0, CSCAN_ISA_SSE2 = 1, CSCAN_ISA_AVX2 = 2 };

/// The kernels in use, one of the above.
int cscan_isa(void);

/// Takes the best kernels that are at most `isa` and says which those are. For tests and measurements: every choice gives the same answers.
int cscan_isa_limit(int isa);
#endif
