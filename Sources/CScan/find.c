#define _GNU_SOURCE
#include "CScan.h"
#include <string.h>

size_t cscan_find(const void *bytes, size_t length, const void *wanted, size_t wanted_length) {
    const uint8_t *hit = memmem(bytes, length, wanted, wanted_length);
    return hit ? (size_t)(hit - (const uint8_t *)bytes) : length;
}
