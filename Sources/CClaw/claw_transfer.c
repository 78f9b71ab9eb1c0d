// claw_transfers: the transfers of one loop over one libcurl multi handle.
//
// Two directions meet here. From below, libcurl calls back while one of our functions runs inside
// curl_multi_socket_action or curl_easy_pause: those callbacks (transfer_on_…, on_socket, on_timer) only
// file things away, in slots, buffers and two lists, and never call libcurl. From above, the caller pulls:
// claw_transfers_next takes from the lists and, when that made room, lets libcurl go on.
//
// A slot lives from claw_transfer_start until its ENDED event was taken or it was cancelled. Its id is its
// index; its easy handle stays with it and is reset for the next transfer. Slots with something to take
// stand in a queue and take turns, one event each.
//
// Received bytes are copied once, from libcurl's buffer into loop buffers. A transfer pauses when another
// full write would exceed its window, or when the loop has no free buffer (it is then "starved", and tried
// again on each call that may find one).
#include "claw_transfer_inside.h"
#include "claw_inside.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    IDLE_HANDLES_MAX = 256,          // easy handles kept for reuse; each holds a few KiB
    IDLE_CONNECTIONS_MAX = 1024,     // libcurl's default, four per running transfer, empties the pool in a lull
    LENT_TEXT_KEPT = 8192,           // a head buffer above this is freed, not kept
    STARVED_RETRY_NS = 1000000,
};

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

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// ---- lists ---------------------------------------------------------------------------------

static bool has_something(const transfer *t) {
    if (t->head_ready) return true;
    if (t->piece_count) return t->receiving;
    return t->state == TRANSFER_ENDED;
}

static void enqueue(transfer *t) {
    claw_transfers *set = t->set;
    if (t->queued || !has_something(t)) return;
    t->queued = true;
    t->next_queued = NULL;
    if (set->queue_last) set->queue_last->next_queued = t;
    else set->queue_first = t;
    set->queue_last = t;
}

static transfer *dequeue(claw_transfers *set) {
    transfer *t = set->queue_first;
    if (!t) return NULL;
    set->queue_first = t->next_queued;
    if (!set->queue_first) set->queue_last = NULL;
    t->queued = false;
    return t;
}

/// Cancel may take a transfer out of the middle.
static void unqueue(transfer *t) {
    claw_transfers *set = t->set;
    if (!t->queued) return;
    transfer *before = NULL;
    for (transfer *i = set->queue_first; i != t; i = i->next_queued) before = i;
    if (before) before->next_queued = t->next_queued;
    else set->queue_first = t->next_queued;
    if (set->queue_last == t) set->queue_last = before;
    t->queued = false;
}

static void starve(transfer *t) {
    if (t->starved) return;
    t->starved = true;
    t->next_starved = t->set->starved_first;
    t->set->starved_first = t;
}

static void unstarve(transfer *t) {
    if (!t->starved) return;
    transfer **place = &t->set->starved_first;
    while (*place != t) place = &(*place)->next_starved;
    *place = t->next_starved;
    t->starved = false;
}

// ---- libcurl calls these -------------------------------------------------------------------

size_t transfer_on_header(char *bytes, size_t size, size_t count, void *context) {
    transfer *t = context;
    size_t length = size * count;
    bool was_complete = t->head.stage == HEAD_COMPLETE;
    if (!transfer_head_line(&t->head, bytes, length)) {
        t->malformed = true;
        return 0;
    }
    if (!was_complete && t->head.stage == HEAD_COMPLETE) {
        t->head_ready = true;
        enqueue(t);
    }
    return length;
}

/// Room in the last piece, 0 when there is none.
static uint32_t room_in_last(const transfer *t) {
    if (!t->piece_count) return 0;
    return t->set->buffer_bytes - t->pieces[(t->piece_first + t->piece_count - 1) % t->piece_capacity].length;
}

static size_t pause_here(transfer *t) {
    t->paused = true;
    return CURL_WRITEFUNC_PAUSE;
}

size_t transfer_on_body(char *bytes, size_t size, size_t count, void *context) {
    transfer *t = context;
    claw_transfers *set = t->set;
    size_t length = size * count;
    if (length == 0) return 0;
    if (t->head.stage != HEAD_COMPLETE) {
        t->malformed = true;
        return 0;
    }
    // All or nothing: libcurl knows no partial write. length ≤ WINDOW_STEP ≤ window.
    if (t->held_bytes + length > t->window_bytes) return pause_here(t);
    size_t room = room_in_last(t);
    size_t more = length > room ? (length - room + set->buffer_bytes - 1) / set->buffer_bytes : 0;
    uint32_t taken[WINDOW_STEP / 4096 + 1];
    for (size_t i = 0; i < more; i++) {
        taken[i] = claw_buffer_take(set->loop);
        if (taken[i] != CLAW_NO_BUFFER) continue;
        while (i > 0) claw_buffer_release(set->loop, taken[--i]);
        starve(t);
        return pause_here(t);
    }
    uint8_t *base = claw_buffer_base(set->loop);
    size_t left = length;
    if (room) {
        transfer_piece *last = &t->pieces[(t->piece_first + t->piece_count - 1) % t->piece_capacity];
        size_t n = left < room ? left : room;
        memcpy(base + (size_t)last->buffer * set->buffer_bytes + last->length, bytes, n);
        last->length += (uint32_t)n;
        bytes += n;
        left -= n;
    }
    for (size_t i = 0; i < more; i++) {
        size_t n = left < set->buffer_bytes ? left : set->buffer_bytes;
        memcpy(base + (size_t)taken[i] * set->buffer_bytes, bytes, n);
        t->pieces[(t->piece_first + t->piece_count) % t->piece_capacity] =
            (transfer_piece){.buffer = taken[i], .length = (uint32_t)n};
        t->piece_count++;
        bytes += n;
        left -= n;
    }
    t->held_bytes += (uint32_t)length;
    enqueue(t);
    return length;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *watched) {
    (void)watched;
    claw_transfers *set = context;
    uint32_t interest = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) interest |= CLAW_READ;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) interest |= CLAW_WRITE;
    int32_t failed = claw_watch(set->loop, fd, interest, set->watch_token);
    if (failed && interest) {
        // Telling libcurl would end the whole multi handle; this ends the one transfer.
        transfer *t = NULL;
        claw_curl.easy_get(easy, CURLINFO_PRIVATE, &t);
        if (t && t->state == TRANSFER_RUNNING && !t->unwatched) {
            t->unwatched = true;
            set->abandoned++;
        }
    }
    return 0;
}

static int on_timer(CURLM *multi, long milliseconds, void *context) {
    (void)multi;
    claw_transfers *set = context;
    set->deadline = milliseconds < 0 ? 0 : now_ns() + (uint64_t)milliseconds * 1000000u;
    return 0;
}

// ---- after libcurl ran ---------------------------------------------------------------------

static void conclude(transfer *t, CURLcode code) {
    claw_transfers *set = t->set;
    t->result = transfer_result(t, code);
    if (!t->error[0] && code != CURLE_OK) strncpy(t->error, claw_curl.easy_strerror(code), sizeof t->error - 1);
    if (t->malformed) strncpy(t->error, "the answer's head is malformed or too large", sizeof t->error - 1);
    if (t->unwatched) strncpy(t->error, "the socket could not be watched", sizeof t->error - 1);
    if (code == CURLE_OK && t->result) strncpy(t->error, "connection closed within the answer's head", sizeof t->error - 1);
    if (!t->result) t->error[0] = 0;
    claw_curl.multi_remove(set->multi, t->easy);
    t->state = TRANSFER_ENDED;
    t->paused = false;
    unstarve(t);
    enqueue(t);
}

/// Ends the transfers that libcurl is done with.
static void collect(claw_transfers *set) {
    CURLMsg *message;
    int left;
    while ((message = claw_curl.multi_message(set->multi, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result; // the message dies with multi_remove
        transfer *t = NULL;
        claw_curl.easy_get(message->easy_handle, CURLINFO_PRIVATE, &t);
        if (t && t->state == TRANSFER_RUNNING) conclude(t, code);
    }
    while (set->abandoned) {
        set->abandoned = 0;
        for (uint32_t i = 0; i < set->slot_count; i++)
            if (set->slots[i]->state == TRANSFER_RUNNING && set->slots[i]->unwatched) conclude(set->slots[i], CURLE_OK);
    }
}

static int32_t act(claw_transfers *set, curl_socket_t fd, int bits) {
    int running;
    CURLMcode code = claw_curl.multi_act(set->multi, fd, bits, &running);
    collect(set);
    return code == CURLM_OK ? 0 : -EIO;
}

static void resume(transfer *t) {
    t->paused = false;
    unstarve(t);
    // Writes what libcurl kept while paused, within this call; that may pause the transfer again.
    CURLcode code = claw_curl.easy_pause(t->easy, CURLPAUSE_CONT);
    if (code != CURLE_OK && t->state == TRANSFER_RUNNING) conclude(t, code);
    collect(t->set);
}

static void resume_if_room(transfer *t) {
    if (t->state != TRANSFER_RUNNING || !t->paused || t->starved) return;
    if (t->held_bytes + WINDOW_STEP <= t->window_bytes) resume(t);
}

static bool buffer_is_free(claw_transfers *set) {
    uint32_t buffer = claw_buffer_take(set->loop);
    if (buffer == CLAW_NO_BUFFER) return false;
    claw_buffer_release(set->loop, buffer);
    return true;
}

/// Each starved transfer gets one try; those that starve again wait for the next call.
static void feed_starved(claw_transfers *set) {
    transfer *t = set->starved_first;
    uint32_t tries = 0;
    for (transfer *i = t; i; i = i->next_starved) tries++;
    while (tries-- && set->starved_first && buffer_is_free(set)) {
        // The last of the list, for it has waited longest.
        t = set->starved_first;
        while (t->next_starved) t = t->next_starved;
        resume(t);
    }
}

// ---- the set -------------------------------------------------------------------------------

const char *claw_transfers_library(void) { return claw_curl_words(); }

int32_t claw_transfers_create(claw_loop *loop, uint64_t watch_token, uint32_t per_host_max, claw_transfers **out) {
    int32_t failed = claw_curl_load();
    if (failed) return failed;
    claw_transfers *set = calloc(1, sizeof *set);
    if (!set) return -ENOMEM;
    set->loop = loop;
    set->watch_token = watch_token;
    set->buffer_bytes = loop->pool.bytes;
    set->multi = claw_curl.multi_init();
    if (!set->multi) {
        free(set);
        return -ENOMEM;
    }
    claw_curl.multi_set(set->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    claw_curl.multi_set(set->multi, CURLMOPT_SOCKETDATA, set);
    claw_curl.multi_set(set->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    claw_curl.multi_set(set->multi, CURLMOPT_TIMERDATA, set);
    claw_curl.multi_set(set->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    claw_curl.multi_set(set->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)per_host_max);
    claw_curl.multi_set(set->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS_MAX);
    *out = set;
    return 0;
}

static void drop_pieces(transfer *t) {
    while (t->piece_count) {
        claw_buffer_release(t->set->loop, t->pieces[t->piece_first].buffer);
        t->piece_first = (t->piece_first + 1) % t->piece_capacity;
        t->piece_count--;
    }
    t->held_bytes = 0;
}

static void release(transfer *t) {
    claw_transfers *set = t->set;
    unqueue(t);
    unstarve(t);
    drop_pieces(t);
    t->state = TRANSFER_FREE;
    t->head_ready = false;
    if (set->idle_handles < IDLE_HANDLES_MAX) {
        set->idle_handles++;
    } else {
        claw_curl.easy_cleanup(t->easy);
        t->easy = NULL;
    }
    t->next_free = set->free_slots;
    set->free_slots = t;
}

void claw_transfers_destroy(claw_transfers *set) {
    if (!set) return;
    for (uint32_t i = 0; i < set->slot_count; i++) {
        transfer *t = set->slots[i];
        if (t->state == TRANSFER_RUNNING) claw_curl.multi_remove(set->multi, t->easy);
        if (t->piece_count) drop_pieces(t);
        if (t->easy) claw_curl.easy_cleanup(t->easy);
        free(t->head.text);
        free(t->pieces);
        free(t->scratch);
        free(t);
    }
    claw_curl.multi_cleanup(set->multi);
    free(set->slots);
    free(set->lent);
    free(set);
}

static transfer *take_slot(claw_transfers *set) {
    transfer *t = set->free_slots;
    if (t) {
        set->free_slots = t->next_free;
        if (t->easy) set->idle_handles--;
        return t;
    }
    if (set->slot_count == set->slot_capacity) {
        uint32_t capacity = set->slot_capacity ? set->slot_capacity * 2 : 16;
        transfer **slots = realloc(set->slots, capacity * sizeof *slots);
        if (!slots) return NULL;
        set->slots = slots;
        set->slot_capacity = capacity;
    }
    t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->set = set;
    t->id = (int32_t)set->slot_count;
    set->slots[set->slot_count++] = t;
    return t;
}

/// Clears the slot for a new transfer, keeping what it has allocated.
static int32_t prepare(transfer *t, const claw_transfer_request *request) {
    uint32_t window = request->window_bytes ? request->window_bytes : WINDOW_BYTES_DEFAULT;
    if (window > INT32_MAX) window = INT32_MAX;
    window = (window + WINDOW_STEP - 1) / WINDOW_STEP * WINDOW_STEP;
    // Every piece but the one being filled is full, or was filled up before another was taken.
    uint32_t pieces = window / t->set->buffer_bytes + 2;
    if (pieces > t->piece_capacity) {
        transfer_piece *ring = realloc(t->pieces, pieces * sizeof *ring);
        if (!ring) return -ENOMEM;
        t->pieces = ring;
        t->piece_capacity = pieces;
    }
    t->piece_first = t->piece_count = t->held_bytes = 0;
    t->window_bytes = window;
    t->token = request->token;
    t->result = 0;
    t->head_ready = t->paused = t->starved = t->queued = t->malformed = t->unwatched = false;
    t->receiving = true;
    t->error[0] = 0;
    t->head = (transfer_head){.text = t->head.text, .capacity = t->head.capacity};
    if (t->easy) claw_curl.easy_reset(t->easy);
    else if (!(t->easy = claw_curl.easy_init())) return -ENOMEM;
    return transfer_request_apply(t, request);
}

int32_t claw_transfer_start(claw_transfers *set, const claw_transfer_request *request) {
    transfer *t = take_slot(set);
    if (!t) return -ENOMEM;
    int32_t failed = prepare(t, request);
    if (!failed && claw_curl.multi_add(set->multi, t->easy) != CURLM_OK) failed = -ENOMEM;
    if (failed) {
        if (!t->easy) { // nothing to keep; release counts handles
            t->next_free = set->free_slots;
            set->free_slots = t;
        } else {
            release(t);
        }
        return failed;
    }
    t->state = TRANSFER_RUNNING;
    return t->id;
}

static transfer *find(claw_transfers *set, int32_t id) {
    if (id < 0 || (uint32_t)id >= set->slot_count) return NULL;
    transfer *t = set->slots[id];
    return t->state == TRANSFER_FREE ? NULL : t;
}

int32_t claw_transfer_cancel(claw_transfers *set, int32_t id) {
    transfer *t = find(set, id);
    if (!t) return -ENOENT;
    if (t->state == TRANSFER_RUNNING) claw_curl.multi_remove(set->multi, t->easy);
    release(t);
    return 0;
}

int32_t claw_transfers_ready(claw_transfers *set, int32_t fd, int32_t readiness) {
    int bits = 0;
    if (readiness & CLAW_READ) bits |= CURL_CSELECT_IN;
    if (readiness & CLAW_WRITE) bits |= CURL_CSELECT_OUT;
    if (readiness & CLAW_ERROR) bits |= CURL_CSELECT_ERR;
    return act(set, fd, bits);
}

int64_t claw_transfers_deadline(claw_transfers *set, uint64_t now) {
    int64_t wait = -1;
    if (set->deadline) wait = set->deadline > now ? (int64_t)(set->deadline - now) : 0;
    // Nobody tells us that a buffer was given back.
    if (set->starved_first && (wait < 0 || wait > STARVED_RETRY_NS)) wait = STARVED_RETRY_NS;
    return wait;
}

int32_t claw_transfers_tick(claw_transfers *set) {
    if (set->starved_first) feed_starved(set);
    if (!set->deadline || set->deadline > now_ns()) return 0;
    set->deadline = 0; // libcurl sets the next one from within
    return act(set, CURL_SOCKET_TIMEOUT, 0);
}

int32_t claw_transfer_receive(claw_transfers *set, int32_t id, int32_t on) {
    transfer *t = find(set, id);
    if (!t) return -ENOENT;
    t->receiving = on != 0;
    if (t->receiving) {
        enqueue(t);
        resume_if_room(t);
    }
    return 0;
}

// ---- events --------------------------------------------------------------------------------

/// Hands the head's text over to the set, so that it outlives the slot until the next call.
static void lend_head(claw_transfers *set, transfer *t) {
    if (set->lent_capacity > LENT_TEXT_KEPT) {
        free(set->lent);
        set->lent = NULL;
        set->lent_capacity = 0;
    }
    char *spare = set->lent;
    uint32_t spare_capacity = set->lent_capacity;
    set->lent = t->head.text;
    set->lent_capacity = t->head.capacity;
    t->head.text = spare;
    t->head.capacity = spare_capacity;
}

int32_t claw_transfers_next(claw_transfers *set, claw_transfer_event *event) {
    if (set->starved_first) feed_starved(set);
    transfer *t;
    // One that was switched off since it queued up has nothing to give now.
    while ((t = dequeue(set)) && !has_something(t)) {}
    if (!t) return 0;
    *event = (claw_transfer_event){.token = t->token, .id = t->id, .buffer = CLAW_NO_BUFFER};
    if (t->head_ready) {
        t->head_ready = false;
        lend_head(set, t);
        event->kind = CLAW_TRANSFER_HEAD;
        event->result = t->head.status;
        event->length = t->head.length;
        event->http_version = t->head.http_version;
        event->text = set->lent ? set->lent : "";
        enqueue(t);
    } else if (t->piece_count) {
        transfer_piece piece = t->pieces[t->piece_first];
        t->piece_first = (t->piece_first + 1) % t->piece_capacity;
        t->piece_count--;
        t->held_bytes -= piece.length;
        event->kind = CLAW_TRANSFER_DATA;
        event->length = piece.length;
        event->buffer = piece.buffer;
        enqueue(t);
        resume_if_room(t);
    } else {
        event->kind = CLAW_TRANSFER_ENDED;
        event->result = t->result;
        memcpy(set->ended_text, t->error, sizeof set->ended_text);
        event->text = set->ended_text;
        event->http_version = t->head.stage == HEAD_COMPLETE ? t->head.http_version : 0;
        release(t);
    }
    return 1;
}
