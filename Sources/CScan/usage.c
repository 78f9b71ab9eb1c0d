// Reads what a plain answer says at its end: the usage object and the finish reason. Lenient on purpose: it reads along with bytes that go to the
// client whatever they say, so anything odd is left to the full scanner.
#include "CScan.h"
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static size_t value_after(const uint8_t *bytes, size_t at, size_t length) {
    while (at < length && (bytes[at] == ':' || bytes[at] == ' ' || bytes[at] == '\n' || bytes[at] == '\r' || bytes[at] == '\t')) at++;
    return at;
}

static int note_key(const uint8_t *bytes, size_t at, size_t length, cscan_answer_end *end) {
    if (bytes[at + 1] == 'u' && !end->usage && length - at > 8 && memcmp(bytes + at, "\"usage\"", 7) == 0) {
        end->usage = value_after(bytes, at + 7, length);
    } else if (bytes[at + 1] == 'f' && !end->finish && length - at > 16 && memcmp(bytes + at, "\"finish_reason\"", 15) == 0) {
        end->finish = value_after(bytes, at + 15, length);
    }
    return end->usage && end->finish;
}

void cscan_find_answer_end(const uint8_t *bytes, size_t length, cscan_answer_end *end) {
    end->usage = 0;
    end->finish = 0;
    if (length < 2) return;
    size_t at = length - 1;
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), u = _mm_set1_epi8('u'), f = _mm_set1_epi8('f');
    while (at >= 16) {
        size_t from = at - 16;
        __m128i here = _mm_loadu_si128((const __m128i *)(bytes + from));
        __m128i next = _mm_loadu_si128((const __m128i *)(bytes + from + 1));
        unsigned hits = (unsigned)_mm_movemask_epi8(
            _mm_and_si128(_mm_cmpeq_epi8(here, quote), _mm_or_si128(_mm_cmpeq_epi8(next, u), _mm_cmpeq_epi8(next, f))));
        while (hits) {
            unsigned bit = 31u - (unsigned)__builtin_clz(hits);
            if (note_key(bytes, from + bit, length, end)) return;
            hits &= ~(1u << bit);
        }
        at = from;
    }
#endif
    while (at > 0) {
        at--;
        if (bytes[at] == '"' && note_key(bytes, at, length, end)) return;
    }
}

static void take_count(const uint8_t *key, size_t key_length, int64_t value, cscan_usage *usage) {
    switch (key_length) {
    case 12:
        if (memcmp(key, "input_tokens", 12) == 0) usage->input = value;
        else if (memcmp(key, "total_tokens", 12) == 0) usage->total = value;
        break;
    case 13:
        if (memcmp(key, "prompt_tokens", 13) == 0) usage->input = value;
        else if (memcmp(key, "output_tokens", 13) == 0) usage->output = value;
        else if (memcmp(key, "cached_tokens", 13) == 0) usage->cached = value;
        break;
    case 16: if (memcmp(key, "reasoning_tokens", 16) == 0) usage->reasoning = value; break;
    case 17: if (memcmp(key, "completion_tokens", 17) == 0) usage->output = value; break;
    default: break;
    }
}

/// One key with a value that may be a count. Returns 0 when the value is odd, else 1.
static int take_member(const uint8_t *bytes, size_t key, size_t key_length, size_t length, cscan_usage *usage) {
    size_t at = value_after(bytes, key + key_length + 1, length);
    if (at >= length) return 0;
    if (bytes[at] == '{' || bytes[at] == 'n') return 1;
    if (bytes[at] < '0' || bytes[at] > '9') return 0;
    int64_t number = 0;
    size_t digits = 0;
    while (at < length && bytes[at] >= '0' && bytes[at] <= '9' && digits++ < 12) number = number * 10 + (bytes[at++] - '0');
    if (at >= length || (bytes[at] != ',' && bytes[at] != '}' && bytes[at] > ' ')) return 0;
    // Classes of tokens that cscan_usage has no place for: the full scanner reads such an object.
    if (number > 0 && ((key_length == 12 && memcmp(bytes + key, "audio_tokens", 12) == 0) || (key_length == 18 && memcmp(bytes + key, "cache_write_tokens", 18) == 0)
                       || (key_length == 23 && memcmp(bytes + key, "prompt_cache_hit_tokens", 23) == 0))) return 0;
    take_count(bytes + key, key_length, number, usage);
    return 1;
}

/// What has been seen of the object so far.
typedef struct reading { int depth; size_t open_quote; } reading;

/// A byte of structure at `at`: 1 go on, 0 odd, 2 the object has ended.
static int take_structure(const uint8_t *bytes, size_t at, size_t length, reading *state, cscan_usage *usage) {
    switch (bytes[at]) {
    case '"':
        if (state->open_quote == 0) {
            state->open_quote = at;
            return 1;
        } else {
            size_t key = state->open_quote + 1;
            state->open_quote = 0;
            return take_member(bytes, key, at - key, length, usage);
        }
    case '{': return state->open_quote == 0 && ++state->depth <= 2;
    case '}':
        if (state->open_quote != 0) return 0;
        return --state->depth == 0 ? 2 : 1;
    default: return 0;
    }
}

int cscan_read_usage(const uint8_t *bytes, size_t at, size_t length, cscan_usage *usage) {
    usage->input = usage->output = usage->cached = usage->reasoning = usage->total = -1;
    reading state = {0, 0};
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), open = _mm_set1_epi8('{'), close = _mm_set1_epi8('}'), escape = _mm_set1_epi8('\\');
    const __m128i list = _mm_set1_epi8('[');
    while (at + 16 <= length) {
        __m128i here = _mm_loadu_si128((const __m128i *)(bytes + at));
        __m128i found = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(here, quote), _mm_cmpeq_epi8(here, open)),
                                     _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(here, close), _mm_cmpeq_epi8(here, escape)), _mm_cmpeq_epi8(here, list)));
        unsigned hits = (unsigned)_mm_movemask_epi8(found);
        while (hits) {
            int said = take_structure(bytes, at + (size_t)__builtin_ctz(hits), length, &state, usage);
            if (said != 1) return said == 2;
            hits &= hits - 1;
        }
        at += 16;
    }
#endif
    for (; at < length; at++) {
        uint8_t byte = bytes[at];
        if (byte != '"' && byte != '{' && byte != '}' && byte != '\\' && byte != '[') continue;
        int said = take_structure(bytes, at, length, &state, usage);
        if (said != 1) return said == 2;
    }
    return 0;
}
