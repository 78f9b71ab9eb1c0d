// The JSON machine itself, written once and compiled for each instruction set. The including file defines
//   KERNEL(name)                  the name with the set's suffix
//   plain_run(base, p, end)       first of quote, backslash or control character in [p, end), or end; bytes from base on may be read
//   utf8_run(bytes, length, bad)  as cscan_utf8
// Text is taken in slabs: each is first checked to be UTF-8, which also says that bytes above 0x7F need no more thought, then run
// through the grammar while it is still in the first-level cache. A slab's end and a feed's end are the same thing to the grammar, so
// resuming is exercised by every long text.

enum { SLAB = 16384 };

enum {
    AT_ROOT = 0, AT_VALUE, AT_FIRST_VALUE, AT_KEY, AT_FIRST_KEY, AT_COLON, AT_NEXT, AT_END, IN_KEY, IN_STRING, IN_NUMBER
};
enum { AFTER_MINUS = 0, AFTER_ZERO, IN_INTEGER, AFTER_DOT, IN_FRACTION, AFTER_E, AFTER_SIGN, IN_EXPONENT };

static inline __attribute__((always_inline)) void note(const cscan_json_paths *paths, uint16_t node, cscan_json_span *spans, size_t offset, size_t end,
                                                       uint8_t kind, bool is_escaped, bool is_true) {
    if (node == CSCAN_JSON_NONE) return;
    for (uint8_t path = paths->nodes[node].path; path != CSCAN_JSON_NO_PATH; path = paths->alias[path]) {
        // Field by field: Swift may keep something else in the padding behind the last one.
        spans[path].offset = offset;
        spans[path].length = end - offset;
        spans[path].kind = kind;
        spans[path].is_escaped = is_escaped;
        spans[path].is_true = is_true;
    }
}

#define REFUSE(code, at) do { s->status = (code); s->error_offset = (size_t)((at) - base); return (code); } while (0)
#define SUSPEND(where) do { s->state = (where); goto suspend; } while (0)
#define SKIP_SPACE(where, code) \
    for (;;) { \
        if (__builtin_expect(p == end, 0)) SUSPEND(where); \
        if (__builtin_expect(*p > 0x20, 1)) break; \
        if (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t') REFUSE(code, p); \
        p++; \
    }

/// Runs the grammar to `limit`, before which all is UTF-8.
static int KERNEL(grammar)(cscan_json *s, const cscan_json_paths *paths, const uint8_t *base, size_t limit, bool last, cscan_json_span *spans) {
    const uint8_t *p = base + s->position, *const end = base + limit;
    size_t start = s->start;
    uint32_t depth = s->depth;
    uint16_t node = s->node, value_node = s->value_node;
    bool is_object = s->is_object, is_escaped = s->is_escaped;

    switch (s->state) {
    case AT_ROOT: goto root;
    case AT_VALUE: goto value;
    case AT_FIRST_VALUE: goto first_value;
    case AT_KEY: goto key;
    case AT_FIRST_KEY: goto first_key;
    case AT_COLON: goto colon;
    case AT_NEXT: goto next;
    case AT_END: goto at_end;
    case IN_KEY: goto in_key;
    case IN_STRING: goto in_string;
    default: goto in_number;
    }

root:
    SKIP_SPACE(AT_ROOT, CSCAN_JSON_SYNTAX);
    value_node = 0;
    switch (*p) {
    case '{': s->root_kind = CSCAN_JSON_OBJECT; s->root_insert = (size_t)(p - base) + 1; break;
    case '[': s->root_kind = CSCAN_JSON_ARRAY; break;
    case '"': s->root_kind = CSCAN_JSON_STRING; break;
    case 't': case 'f': s->root_kind = CSCAN_JSON_BOOL; break;
    case 'n': s->root_kind = CSCAN_JSON_NULL; break;
    default: s->root_kind = CSCAN_JSON_NUMBER; break;
    }
    goto value_here;

value:
    SKIP_SPACE(AT_VALUE, CSCAN_JSON_SYNTAX);
value_here:
    switch (*p) {
    case '"':
        start = (size_t)(p - base);
        is_escaped = false;
        p++;
        goto in_string;
    case '{':
    case '[':
        if (depth >= s->depth_max) REFUSE(CSCAN_JSON_DEPTH, p);
        depth++;
        is_object = *p == '{';
        s->objects[depth >> 6] = (s->objects[depth >> 6] & ~(1ull << (depth & 63))) | ((uint64_t)is_object << (depth & 63));
        node = CSCAN_JSON_NONE;
        if (depth < CSCAN_JSON_LEVELS) {
            node = value_node;
            s->nodes[depth] = node;
            s->starts[depth] = (size_t)(p - base);
            s->indices[depth] = 0;
        }
        p++;
        if (is_object) goto first_key;
        goto first_value;
    case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        start = (size_t)(p - base);
        if (*p++ == '0') goto after_zero;
        goto in_integer;
    case '-':
        start = (size_t)(p - base);
        p++;
        goto after_minus;
    case 't': case 'f': case 'n': {
        static const char *const words[3] = { "true", "false", "null" };
        int which = *p == 't' ? 0 : *p == 'f' ? 1 : 2;
        size_t length = which == 1 ? 5 : 4;
        for (size_t i = 1; i < length; i++) {
            if (p + i == end) SUSPEND(AT_VALUE);
            if (p[i] != (uint8_t)words[which][i]) REFUSE(CSCAN_JSON_SYNTAX, p + i);
        }
        start = (size_t)(p - base);
        p += length;
        note(paths, value_node, spans, start, start + length, which == 2 ? CSCAN_JSON_NULL : CSCAN_JSON_BOOL, false, which == 0);
        goto next;
    }
    default:
        REFUSE(CSCAN_JSON_SYNTAX, p);
    }

first_value:
    SKIP_SPACE(AT_FIRST_VALUE, CSCAN_JSON_SYNTAX);
    if (*p == ']') goto close;
    value_node = CSCAN_JSON_NONE;
    if (node != CSCAN_JSON_NONE && (paths->nodes[node].flags & CSCAN_JSON_HAS_INDICES)) value_node = cscan_json_element(paths, node, 0);
    goto value_here;

first_key:
    SKIP_SPACE(AT_FIRST_KEY, CSCAN_JSON_SYNTAX);
    if (*p == '}') goto close;
    if (depth == 1 && *p == '"') s->root_has_members = true;
    goto key_here;

key:
    SKIP_SPACE(AT_KEY, CSCAN_JSON_SYNTAX);
key_here:
    if (*p != '"') REFUSE(CSCAN_JSON_SYNTAX, p);
    start = (size_t)(p - base);
    is_escaped = false;
    p++;

in_key:
    for (;;) {
        p = plain_run(base, p, end);
        if (__builtin_expect(p == end, 0)) SUSPEND(IN_KEY);
        if (__builtin_expect(*p == '"', 1)) break;
        if (*p != '\\') REFUSE(CSCAN_JSON_SYNTAX, p);
        is_escaped = true;
        if (end - p < 2) SUSPEND(IN_KEY);
        uint8_t kind = cscan_json_escapes[p[1]];
        if (kind == 0) REFUSE(CSCAN_JSON_SYNTAX, p + 1);
        if (kind == 2) {
            for (int i = 2; i < 6; i++) {
                if (p + i == end) SUSPEND(IN_KEY);
                if (!cscan_hex[p[i]]) REFUSE(CSCAN_JSON_SYNTAX, p + i);
            }
            p += 4;
        }
        p += 2;
    }
    value_node = CSCAN_JSON_NONE;
    if (node != CSCAN_JSON_NONE && (paths->nodes[node].flags & CSCAN_JSON_HAS_KEYS)) {
        value_node = cscan_json_child(paths, node, base + start + 1, (size_t)(p - base) - start - 1, is_escaped);
        if (value_node != CSCAN_JSON_NONE) {
            uint64_t bit = 1ull << (value_node & 63);
            if (__builtin_expect(s->seen[value_node >> 6] & bit, 0)) {
                if (paths->nodes[value_node].unique != CSCAN_JSON_NO_PATH) {
                    s->error_path = paths->nodes[value_node].unique;
                    REFUSE(CSCAN_JSON_DUPLICATE, base + start);
                }
                cscan_json_forget(s, paths, value_node, spans);
            }
            s->seen[value_node >> 6] |= bit;
        }
    }
    p++;

colon:
    SKIP_SPACE(AT_COLON, CSCAN_JSON_SYNTAX);
    if (*p != ':') REFUSE(CSCAN_JSON_SYNTAX, p);
    p++;
    goto value;

in_string:
    for (;;) {
        p = plain_run(base, p, end);
        if (__builtin_expect(p == end, 0)) SUSPEND(IN_STRING);
        if (*p == '"') break;
        if (*p != '\\') REFUSE(CSCAN_JSON_SYNTAX, p);
        is_escaped = true;
        if (__builtin_expect(end - p < 2, 0)) SUSPEND(IN_STRING);
        uint8_t kind = cscan_json_escapes[p[1]];
        if (__builtin_expect(kind != 1, 0)) {
            if (kind == 0) REFUSE(CSCAN_JSON_SYNTAX, p + 1);
            for (int i = 2; i < 6; i++) {
                if (p + i == end) SUSPEND(IN_STRING);
                if (!cscan_hex[p[i]]) REFUSE(CSCAN_JSON_SYNTAX, p + i);
            }
            p += 4;
        }
        p += 2;
    }
    p++;
    note(paths, value_node, spans, start, (size_t)(p - base), CSCAN_JSON_STRING, is_escaped, false);

next:
    if (depth == 0) goto at_end;
    SKIP_SPACE(AT_NEXT, CSCAN_JSON_SYNTAX);
    if (*p == ',') {
        p++;
        if (is_object) goto key;
        value_node = CSCAN_JSON_NONE;
        if (node != CSCAN_JSON_NONE && (paths->nodes[node].flags & CSCAN_JSON_HAS_INDICES)) {
            // Saturates: no wanted index is that high.
            if (s->indices[depth] != UINT32_MAX) s->indices[depth]++;
            value_node = cscan_json_element(paths, node, s->indices[depth]);
        }
        goto value;
    }
    if (*p != (is_object ? '}' : ']')) REFUSE(CSCAN_JSON_SYNTAX, p);

close:
    p++;
    if (depth < CSCAN_JSON_LEVELS)
        note(paths, s->nodes[depth], spans, s->starts[depth], (size_t)(p - base), is_object ? CSCAN_JSON_OBJECT : CSCAN_JSON_ARRAY, false, false);
    depth--;
    is_object = s->objects[depth >> 6] >> (depth & 63) & 1;
    node = depth < CSCAN_JSON_LEVELS ? s->nodes[depth] : CSCAN_JSON_NONE;
    goto next;

in_number:
    switch (s->number_state) {
    case AFTER_MINUS: goto after_minus;
    case AFTER_ZERO: goto after_zero;
    case IN_INTEGER: goto in_integer;
    case AFTER_DOT: goto after_dot;
    case IN_FRACTION: goto in_fraction;
    case AFTER_E: goto after_e;
    case AFTER_SIGN: goto after_sign;
    default: goto in_exponent;
    }
#define IS_DIGIT(c) ((uint8_t)((c) - '0') < 10)
#define SUSPEND_NUMBER(where) do { s->number_state = (where); SUSPEND(IN_NUMBER); } while (0)
after_minus:
    if (p == end) SUSPEND_NUMBER(AFTER_MINUS);
    if (!IS_DIGIT(*p)) REFUSE(CSCAN_JSON_SYNTAX, p);
    if (*p++ != '0') goto in_integer;
after_zero:
    if (p == end) SUSPEND_NUMBER(AFTER_ZERO);
    goto after_integer;
in_integer:
    while (p < end && IS_DIGIT(*p)) p++;
    if (p == end) SUSPEND_NUMBER(IN_INTEGER);
after_integer:
    if (*p == '.') { p++; goto after_dot; }
    if ((*p | 0x20) == 'e') { p++; goto after_e; }
    goto number_over;
after_dot:
    if (p == end) SUSPEND_NUMBER(AFTER_DOT);
    if (!IS_DIGIT(*p)) REFUSE(CSCAN_JSON_SYNTAX, p);
in_fraction:
    while (p < end && IS_DIGIT(*p)) p++;
    if (p == end) SUSPEND_NUMBER(IN_FRACTION);
    if ((*p | 0x20) != 'e') goto number_over;
    p++;
after_e:
    if (p == end) SUSPEND_NUMBER(AFTER_E);
    if (*p == '+' || *p == '-') p++;
after_sign:
    if (p == end) SUSPEND_NUMBER(AFTER_SIGN);
    if (!IS_DIGIT(*p)) REFUSE(CSCAN_JSON_SYNTAX, p);
in_exponent:
    while (p < end && IS_DIGIT(*p)) p++;
    if (p == end) SUSPEND_NUMBER(IN_EXPONENT);
number_over:
    note(paths, value_node, spans, start, (size_t)(p - base), CSCAN_JSON_NUMBER, false, false);
    goto next;

at_end:
    SKIP_SPACE(AT_END, CSCAN_JSON_TRAILING);
    REFUSE(CSCAN_JSON_TRAILING, p);

suspend:
    s->position = (size_t)(p - base);
    s->start = start;
    s->depth = (uint16_t)depth;
    s->node = node;
    s->value_node = value_node;
    s->is_object = is_object;
    s->is_escaped = is_escaped;
    if (!last) return CSCAN_JSON_NEED_MORE;
    if (s->state == IN_NUMBER && depth == 0
        && (s->number_state == AFTER_ZERO || s->number_state == IN_INTEGER || s->number_state == IN_FRACTION || s->number_state == IN_EXPONENT)) {
        note(paths, value_node, spans, start, limit, CSCAN_JSON_NUMBER, false, false);
        s->state = AT_END;
    }
    if (s->state == AT_END) {
        s->status = CSCAN_JSON_COMPLETE;
        return CSCAN_JSON_COMPLETE;
    }
    REFUSE(CSCAN_JSON_INCOMPLETE, end);
}

static int KERNEL(json_feed)(cscan_json *s, const cscan_json_paths *paths, const uint8_t *base, size_t length, bool last, cscan_json_span *spans) {
    if (s->status != CSCAN_JSON_NEED_MORE) return s->status;
    if (!s->is_started) {
        s->is_started = true;
        for (size_t path = 0; path < paths->path_count; path++) {
            spans[path].offset = spans[path].length = 0;
            spans[path].kind = CSCAN_JSON_MISSING;
            spans[path].is_escaped = spans[path].is_true = false;
        }
    }
    for (;;) {
        size_t slab = length - s->verified;
        if (slab > SLAB) slab = SLAB;
        bool bad = false;
        size_t good = slab ? utf8_run(base + s->verified, slab, &bad) : 0;
        size_t limit = s->verified + good;
        bool whole = last && limit == length;
        int status = KERNEL(grammar)(s, paths, base, limit, whole, spans);
        if (status != CSCAN_JSON_NEED_MORE) return status;
        s->verified = limit;
        // A character cut by a slab's end begins the next slab; cut by the text's end it is bad.
        if (bad || (last && limit + (slab - good) == length && good < slab)) {
            s->status = CSCAN_JSON_UTF8;
            s->error_offset = limit;
            return CSCAN_JSON_UTF8;
        }
        if (limit + (slab - good) == length) return CSCAN_JSON_NEED_MORE;
    }
}
