// CScan: byte-scanning kernels with SIMD, pure functions over memory, no system calls.
#ifndef CSCAN_H
#define CSCAN_H
#include <stdint.h>
#include <stddef.h>
#include "cscan_http.h"

/// Offset of the first byte b that ends or complicates a JSON string: b == '"' || b == '\\' || b < 0x20 || b >= 0x80; length if none.
size_t cscan_json_string(const uint8_t *bytes, size_t length);
#endif
