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

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// ---- libcurl calls these, besides those of claw_transfer_hold.c --------------------------------

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
    transfer_unstarve(t);
    transfer_enqueue(t);
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
    t->resuming = true; // writes what libcurl kept while paused come within this call
    CURLcode code = claw_curl.easy_pause(t->easy, CURLPAUSE_CONT);
    t->resuming = false;
    if (code != CURLE_OK && t->state == TRANSFER_RUNNING) conclude(t, code);
    collect(t->set);
}

/// After room may have come about, in the window or among the buffers.
static void go_on(transfer *t) {
    if (t->starved || !transfer_pour(t)) return;
    if (t->state != TRANSFER_RUNNING || !t->paused) return;
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
        transfer_unstarve(t);
        go_on(t);
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

static void release(transfer *t) {
    claw_transfers *set = t->set;
    transfer_unqueue(t);
    transfer_unstarve(t);
    transfer_drop_pieces(t);
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
        transfer_drop_pieces(t);
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
    t->written_bytes = 0;
    t->window_bytes = window;
    t->token = request->token;
    t->result = 0;
    t->head_ready = t->paused = t->starved = t->queued = t->malformed = t->unwatched = t->resuming = false;
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
        transfer_enqueue(t);
        go_on(t);
    }
    return 0;
}

int64_t claw_transfer_held(claw_transfers *set, int32_t id) {
    transfer *t = find(set, id);
    if (!t) return -ENOENT;
    int64_t held = (int64_t)(t->held_bytes + t->spill_length - t->spill_offset);
    if (t->state != TRANSFER_RUNNING || !t->paused) return held;
    curl_off_t read = 0;
    claw_curl.easy_get(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &read);
    return read > (curl_off_t)t->written_bytes ? held + read - (int64_t)t->written_bytes : held;
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
    for (;;) {
        t = transfer_dequeue(set);
        if (!t) return 0;
        if (!transfer_has_something(t)) continue; // switched off since it queued up
        if (t->head_ready || t->piece_count || !transfer_is_spilled(t)) break;
        transfer_pour(t);                         // spilled bytes only: queues it up again, or starves it
    }
    *event = (claw_transfer_event){.token = t->token, .id = t->id, .buffer = CLAW_NO_BUFFER};
    if (t->head_ready) {
        t->head_ready = false;
        lend_head(set, t);
        event->kind = CLAW_TRANSFER_HEAD;
        event->result = t->head.status;
        event->length = t->head.length;
        event->http_version = t->head.http_version;
        event->text = set->lent ? set->lent : "";
        transfer_enqueue(t);
    } else if (t->piece_count) {
        transfer_piece piece = t->pieces[t->piece_first];
        t->piece_first = (t->piece_first + 1) % t->piece_capacity;
        t->piece_count--;
        t->held_bytes -= piece.length;
        event->kind = CLAW_TRANSFER_DATA;
        event->length = piece.length;
        event->buffer = piece.buffer;
        transfer_enqueue(t);
        go_on(t);
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
