// claw_transfer_inside: what the files of claw_transfer share.
//
//   claw_transfer.c          the set: slots, libcurl's sockets and timer, events
//   claw_transfer_hold.c     the queue, received bytes, back-pressure
//   claw_transfer_request.c  a request and its policy → options of an easy handle
//   claw_transfer_answer.c   header lines → HEAD text; libcurl's codes → CLAW_TRANSFER_*
#ifndef CLAW_TRANSFER_INSIDE_H
#define CLAW_TRANSFER_INSIDE_H
#include "claw_curl.h"
#include "claw_transfer.h"
#include <stdbool.h>

enum {
    HEAD_BYTES_MAX = 65536,
    WINDOW_BYTES_DEFAULT = 65536,
    WINDOW_STEP = 16384,          // CURL_MAX_WRITE_SIZE: the most libcurl hands over in one call
};

struct claw_transfer_policy {
    char *ca_file, *client_certificate, *client_key, *proxy;
    char *connect_to;
    struct curl_slist connect_to_list;
    bool insecure_skip_verify, http1_only;
    uint32_t connect_timeout_ms;
};

/// The final head as it grows, checked line by line.
typedef struct transfer_head {
    char *text;
    uint32_t length, capacity;
    int32_t status;
    uint16_t http_version;        // 11 or 20
    uint8_t stage;                // HEAD_*
    bool has_length, has_encoding;
} transfer_head;
enum { HEAD_EXPECTED = 0, HEAD_INTERIM = 1, HEAD_FINAL = 2, HEAD_COMPLETE = 3 };

/// One loop buffer with received bytes that nobody has taken yet.
typedef struct transfer_piece { uint32_t buffer, length; } transfer_piece;

/// The body's slices and the place of the next byte to send.
typedef struct transfer_body {
    const claw_slice *slices;     // in the slot's scratch
    uint32_t count, slice;
    size_t offset;                // in slices[slice]
    uint64_t length;
} transfer_body;

typedef struct transfer {
    struct claw_transfers *set;
    CURL *easy;
    uint64_t token;
    int32_t id;
    int32_t result;               // ENDED's, when ended
    uint8_t state;                // TRANSFER_*
    bool head_ready;              // a complete head waits to be taken
    bool receiving;               // claw_transfer_receive is on
    bool paused;                  // libcurl was told to pause
    bool starved;                 // paused for want of a loop buffer; in set->starved
    bool queued;                  // in the set's queue
    bool secure;                  // https://
    bool malformed;               // a callback refused what came
    bool unwatched;               // its socket could not be watched
    transfer_head head;
    transfer_body body;
    transfer_piece *pieces;       // ring
    uint32_t piece_first, piece_count, piece_capacity;
    uint32_t held_bytes, window_bytes;
    char *spill;                  // what libcurl had kept beyond the window; goes on through pieces
    size_t spill_offset, spill_length, spill_capacity;
    uint64_t written_bytes;       // given to transfer_on_body so far
    bool resuming;                // within curl_easy_pause
    struct transfer *next_queued, *next_starved, *next_free;
    void *scratch;                // slices and header list of the request
    size_t scratch_capacity;
    char error[CURL_ERROR_SIZE];
} transfer;
enum { TRANSFER_FREE = 0, TRANSFER_RUNNING = 1, TRANSFER_ENDED = 2 };

struct claw_transfers {
    claw_loop *loop;
    uint64_t watch_token;
    uint32_t buffer_bytes;
    CURLM *multi;
    uint64_t deadline;               // monotonic; 0: none
    transfer **slots;
    uint32_t slot_count, slot_capacity;
    transfer *free_slots;
    uint32_t idle_handles;
    transfer *queue_first, *queue_last;
    transfer *starved_first;
    uint32_t abandoned;              // transfers whose socket could not be watched
    char *lent;                      // head text of the last HEAD event
    uint32_t lent_capacity;
    char ended_text[CURL_ERROR_SIZE];
};

// The queue of transfers with something to take (a transfer joins it once, if it has), and the starved.
bool transfer_has_something(const transfer *t);
void transfer_enqueue(transfer *t);
transfer *transfer_dequeue(claw_transfers *set);
void transfer_unqueue(transfer *t);
void transfer_starve(transfer *t);
void transfer_unstarve(transfer *t);
bool transfer_is_spilled(const transfer *t);
/// Moves spilled bytes into pieces as far as they fit. True when none are left.
bool transfer_pour(transfer *t);
/// Gives every held byte up.
void transfer_drop_pieces(transfer *t);

/// Sets every option of `t->easy` (fresh or reset) for this request. 0, -EINVAL, -ENOMEM.
int32_t transfer_request_apply(transfer *t, const claw_transfer_request *request);
/// Copies the next bytes of the body out; how many, 0 at its end.
size_t transfer_body_read(transfer_body *body, char *into, size_t capacity);
/// Goes to an absolute place; false beyond the end.
bool transfer_body_seek(transfer_body *body, uint64_t offset);

/// Takes one line, line end included, as libcurl's header callback gives it. False: not to be relayed.
bool transfer_head_line(transfer_head *head, const char *line, size_t length);
/// The CLAW_TRANSFER_* of a transfer that ended with this code.
int32_t transfer_result(const transfer *t, CURLcode code);

size_t transfer_on_header(char *bytes, size_t size, size_t count, void *context);
size_t transfer_on_body(char *bytes, size_t size, size_t count, void *context);
size_t transfer_on_read(char *into, size_t size, size_t count, void *context);
int transfer_on_seek(void *context, curl_off_t offset, int origin);
curl_socket_t transfer_on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address);
#endif
