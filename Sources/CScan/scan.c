#include "CScan.h"
size_t cscan_json_string(const uint8_t *b, size_t n) { size_t i = 0; for (; i < n; i++) { uint8_t c = b[i]; if (c == 34 || c == 92 || c < 32 || c >= 128) break; } return i; }
