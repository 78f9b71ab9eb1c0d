// The JSON machine: one strict, resumable pass over a text that notes where the values of wanted paths lie; and the small
// conversions of JSON strings and numbers. No allocation, no recursion. Swift's face of it is ClawWire/JSON.
#ifndef CSCAN_JSON_H
#define CSCAN_JSON_H
#include <stdint.h>
#include <stddef.h>
#include <stdbool.h>

/// Values of `cscan_json_span.kind` and `cscan_json.root_kind`; the order is JSONKind's.
enum {
    CSCAN_JSON_MISSING = 0, CSCAN_JSON_STRING, CSCAN_JSON_NUMBER, CSCAN_JSON_BOOL, CSCAN_JSON_NULL, CSCAN_JSON_OBJECT, CSCAN_JSON_ARRAY
};

/// What a feed comes to.
enum {
    CSCAN_JSON_NEED_MORE = 0, CSCAN_JSON_COMPLETE, CSCAN_JSON_SYNTAX, CSCAN_JSON_DEPTH, CSCAN_JSON_UTF8, CSCAN_JSON_DUPLICATE,
    CSCAN_JSON_TRAILING, CSCAN_JSON_INCOMPLETE
};

enum {
    CSCAN_JSON_DEPTH_CAP = 1024,     // bits kept for the nesting
    CSCAN_JSON_PATHS_MAX = 64,
    CSCAN_JSON_SEGMENTS_MAX = 8,     // segments of one path
    CSCAN_JSON_NODES_MAX = 64 * 8 + 1,
    CSCAN_JSON_LEVELS = 10,          // container depths at which a wanted node can stand: 1 … SEGMENTS_MAX + 1
    CSCAN_JSON_BUCKETS = 256,
    CSCAN_JSON_KEY_MAX = 255,        // bytes of one path segment
    CSCAN_JSON_NONE = 0xFFFF,        // no node
    CSCAN_JSON_NO_PATH = 0xFF,
    CSCAN_JSON_HAS_KEYS = 1, CSCAN_JSON_HAS_INDICES = 2, CSCAN_JSON_IS_INDEX = 4
};

/// Where a wanted value lies; same layout as Swift's JSONSpan.
typedef struct {
    size_t offset, length;
    uint8_t kind;
    bool is_escaped, is_true;
} cscan_json_span;

/// One segment of the wanted paths. Nodes stand in preorder, so the nodes below node i are i+1 ..< end.
typedef struct {
    uint32_t key_offset;             // into `keys`; for an index segment the index itself
    uint16_t end, parent, next;      // next: the next node of the same bucket
    uint8_t key_length, flags;
    uint8_t path;                    // the wanted path that ends here
    uint8_t unique;                  // a unique path that ends here or below
} cscan_json_node;

/// The wanted paths as a trie in flat memory, node 0 its root; children are found through one hash table of (parent, key).
typedef struct {
    const cscan_json_node *nodes;
    const uint8_t *keys;
    uint16_t buckets[CSCAN_JSON_BUCKETS];
    uint8_t alias[CSCAN_JSON_PATHS_MAX]; // the next path with the same text, NO_PATH at the end
    uint16_t path_count;
    uint16_t key_longest;
} cscan_json_paths;

static inline uint32_t cscan_json_key_bucket(uint32_t parent, const uint8_t *key, size_t length) {
    uint32_t h = parent * 37u + (uint32_t)length * 11u;
    if (length) h += key[0] * 3u + key[length - 1] * 29u + key[length / 2] * 7u;
    return h & (CSCAN_JSON_BUCKETS - 1);
}
static inline uint32_t cscan_json_index_bucket(uint32_t parent, uint32_t index) { return (parent * 37u + index * 101u + 5u) & (CSCAN_JSON_BUCKETS - 1); }

/// The state of one scan. All zero but `depth_max` is its start.
typedef struct {
    size_t position;                 // bytes the grammar has behind it
    size_t verified;                 // bytes known to be whole UTF-8 characters
    size_t start;                    // first byte of the string or number under way
    size_t root_insert;              // just behind the root object's brace
    size_t error_offset;
    uint64_t objects[CSCAN_JSON_DEPTH_CAP / 64 + 1]; // bit d: the container at depth d is an object
    uint64_t seen[CSCAN_JSON_NODES_MAX / 64 + 1];    // bit n: node n's key has come
    size_t starts[CSCAN_JSON_LEVELS];
    uint32_t indices[CSCAN_JSON_LEVELS];
    uint16_t nodes[CSCAN_JSON_LEVELS];
    uint16_t node, value_node;       // of the innermost container; of the value under way
    uint16_t depth, depth_max;
    uint8_t state, number_state, status, error_path, root_kind;
    bool is_escaped, root_has_members, is_object, is_started;
} cscan_json;

/// Reads on to `length`. `bytes` is the whole text from its first byte (it may have moved and grown since the last call), `last` says
/// that the text ends there. Returns one of the statuses above; after a refusal `error_offset` and, for a duplicate, `error_path` hold.
int cscan_json_feed(cscan_json *state, const cscan_json_paths *paths, const uint8_t *bytes, size_t length, bool last, cscan_json_span *spans);

/// Length of the longest prefix of whole, valid UTF-8 characters. `*bad`: what follows it is no beginning of a character either
/// (false at the end of the bytes, or before a character that is cut there).
size_t cscan_utf8(const uint8_t *bytes, size_t length, bool *bad);

/// Undoes the escapes of a JSON string's body (without its quotes). Lone surrogates become U+FFFD. Returns the length written, or -1
/// if `capacity` is too small or the escapes are malformed; never writes more than `length` bytes; `into` may be `body`.
ptrdiff_t cscan_json_unescape(const uint8_t *body, size_t length, uint8_t *into, size_t capacity);

/// True when the body of a JSON string, its escapes undone, is `text`.
bool cscan_json_equal(const uint8_t *body, size_t length, const uint8_t *text, size_t text_length);

/// Writes any bytes as a JSON string's body: quote, backslash and control characters escaped, ill-formed UTF-8 as \ufffd, one for each
/// maximal part. Stops before the first character that does not fit; `*consumed` is how far it came. Returns the length written.
size_t cscan_json_escape(const uint8_t *bytes, size_t length, uint8_t *into, size_t capacity, size_t *consumed);
#endif
