// What came and nobody has taken yet: the queue of transfers that have something, and the bytes each holds.
//
// Received bytes are copied once, from libcurl's buffer into loop buffers. A transfer pauses when another
// full write would exceed its window, or when the loop has no free buffer (it is then "starved", and tried
// again on each call that may find one).
//
// Over HTTP/2 libcurl 7.88 keeps on reading for a paused stream while others of the same connection are
// active, into memory of its own, up to the 32 MiB of flow-control window it grants each stream. On being
// resumed it hands that out write by write, and pausing it in the midst copies all the rest again, which is
// quadratic. So while it is being resumed nothing pauses: what exceeds the window is spilled to the heap
// once and goes on from there. claw_transfer_held tells the caller the whole sum.
#include "claw_transfer_inside.h"
#include <stdlib.h>
#include <string.h>

// ---- the queue and the starved ---------------------------------------------------------------------------------

bool transfer_is_spilled(const transfer *t) { return t->spill_length > t->spill_offset; }

bool transfer_has_something(const transfer *t) {
    if (t->head_ready) return true;
    if (t->piece_count || transfer_is_spilled(t)) return t->receiving;
    return t->state == TRANSFER_ENDED;
}

void transfer_enqueue(transfer *t) {
    claw_transfers *set = t->set;
    if (t->queued || !transfer_has_something(t)) return;
    t->queued = true;
    t->next_queued = NULL;
    if (set->queue_last) set->queue_last->next_queued = t;
    else set->queue_first = t;
    set->queue_last = t;
}

transfer *transfer_dequeue(claw_transfers *set) {
    transfer *t = set->queue_first;
    if (!t) return NULL;
    set->queue_first = t->next_queued;
    if (!set->queue_first) set->queue_last = NULL;
    t->queued = false;
    return t;
}

/// Cancel may take a transfer out of the middle.
void transfer_unqueue(transfer *t) {
    claw_transfers *set = t->set;
    if (!t->queued) return;
    transfer *before = NULL;
    for (transfer *i = set->queue_first; i != t; i = i->next_queued) before = i;
    if (before) before->next_queued = t->next_queued;
    else set->queue_first = t->next_queued;
    if (set->queue_last == t) set->queue_last = before;
    t->queued = false;
}

void transfer_starve(transfer *t) {
    if (t->starved) return;
    t->starved = true;
    t->next_starved = t->set->starved_first;
    t->set->starved_first = t;
}

void transfer_unstarve(transfer *t) {
    if (!t->starved) return;
    transfer **place = &t->set->starved_first;
    while (*place != t) place = &(*place)->next_starved;
    *place = t->next_starved;
    t->starved = false;
}

// ---- heads and bytes, as libcurl gives them -------------------------------------------------------------------

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
        transfer_enqueue(t);
    }
    return length;
}

/// Room in the last piece, 0 when there is none.
static uint32_t room_in_last(const transfer *t) {
    if (!t->piece_count) return 0;
    return t->set->buffer_bytes - t->pieces[(t->piece_first + t->piece_count - 1) % t->piece_capacity].length;
}

enum { STORED, WINDOW_FULL, NO_BUFFER };

/// Copies the bytes (≤ WINDOW_STEP) into the last piece and new ones: all or nothing.
static int store(transfer *t, const char *bytes, size_t length) {
    claw_transfers *set = t->set;
    if (t->held_bytes + length > t->window_bytes) return WINDOW_FULL;
    size_t room = room_in_last(t);
    size_t more = length > room ? (length - room + set->buffer_bytes - 1) / set->buffer_bytes : 0;
    uint32_t taken[WINDOW_STEP / 4096 + 1];
    for (size_t i = 0; i < more; i++) {
        taken[i] = claw_buffer_take(set->loop);
        if (taken[i] != CLAW_NO_BUFFER) continue;
        while (i > 0) claw_buffer_release(set->loop, taken[--i]);
        return NO_BUFFER;
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
    transfer_enqueue(t);
    return STORED;
}

static bool spill(transfer *t, const char *bytes, size_t length) {
    size_t needed = t->spill_length + length;
    if (needed > t->spill_capacity) {
        size_t capacity = t->spill_capacity ? t->spill_capacity : 65536;
        while (capacity < needed) capacity *= 2;
        char *larger = realloc(t->spill, capacity);
        if (!larger) return false;
        t->spill = larger;
        t->spill_capacity = capacity;
    }
    memcpy(t->spill + t->spill_length, bytes, length);
    t->spill_length = needed;
    transfer_enqueue(t);
    return true;
}

static void drop_spill(transfer *t) {
    free(t->spill);
    t->spill = NULL;
    t->spill_offset = t->spill_length = t->spill_capacity = 0;
}

/// Moves spilled bytes into pieces as far as they fit. True when none are left.
bool transfer_pour(transfer *t) {
    while (transfer_is_spilled(t)) {
        size_t n = t->spill_length - t->spill_offset;
        if (n > WINDOW_STEP) n = WINDOW_STEP;
        int stored = store(t, t->spill + t->spill_offset, n);
        if (stored == NO_BUFFER) transfer_starve(t);
        if (stored != STORED) return false;
        t->spill_offset += n;
    }
    if (t->spill) drop_spill(t);
    return true;
}

size_t transfer_on_body(char *bytes, size_t size, size_t count, void *context) {
    transfer *t = context;
    size_t length = size * count;
    if (length == 0) return 0;
    if (t->head.stage != HEAD_COMPLETE) {
        t->malformed = true;
        return 0;
    }
    // libcurl knows no partial write, and hands over CURL_MAX_WRITE_SIZE at most.
    int stored = transfer_is_spilled(t) || length > WINDOW_STEP ? WINDOW_FULL : store(t, bytes, length);
    if (stored != STORED) {
        if (!t->resuming) {
            if (stored == NO_BUFFER) transfer_starve(t);
            t->paused = true;
            return CURL_WRITEFUNC_PAUSE;
        }
        if (!spill(t, bytes, length)) return 0;
    }
    t->written_bytes += length;
    return length;
}

void transfer_drop_pieces(transfer *t) {
    while (t->piece_count) {
        claw_buffer_release(t->set->loop, t->pieces[t->piece_first].buffer);
        t->piece_first = (t->piece_first + 1) % t->piece_capacity;
        t->piece_count--;
    }
    t->held_bytes = 0;
    if (t->spill) drop_spill(t);
}
