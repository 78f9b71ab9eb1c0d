// The played backend: a scripted kernel of one process's imagination. It keeps for each descriptor what
// the peer sent and the code under test has not seen, what the code under test sent and the test has
// not fetched, and how many more bytes the peer takes. Nothing depends on time, addresses or chance:
// the same script gives the same events in the same order.
//
// What one claw_played_deliver brings surfaces as one RECEIVED event (as several only beyond a buffer's
// size), so that a test decides where the stream is cut. Descriptors are never used twice, so state and
// sent bytes can be asked for after the close.
#include "claw_played.h"
#include "claw_inside.h"
#include "claw_os.h"
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_FD = 1000, READS_PER_WAIT = 4 };
enum { STATE_OPEN = 0, STATE_SEND_ENDED = 1, STATE_CLOSED = 2, STATE_RESET = 3 };
/// The clock does not begin at zero, where "never" often lives.
#define CLOCK_START_NS 1000000000ull

typedef struct chunk {
    struct chunk *next;
    size_t length, offset;
    uint8_t bytes[];
} chunk;

typedef struct played_socket {
    chunk *arrived, *arrived_last;
    uint8_t *sent;
    size_t sent_length, sent_capacity;
    uint64_t window;
    uint64_t connect_due_ns;
    claw_address address;     // asked for by claw_connect
    int32_t connect_result;   // 0 or negated errno
    int32_t listener;         // accepted from; -1 for a connected one
    int32_t error;            // the peer reset
    uint8_t state, mode;
    bool ended, connecting, accepting;
} played_socket;

typedef struct outcome { int32_t result; uint64_t delay_ns; } outcome;
typedef struct name { char *host, *address; } name;
typedef struct port_rule { uint16_t port; int32_t result; uint64_t delay_ns; } port_rule;
enum { PORT_RULES_MAX = 64 };

typedef struct played_state {
    uint64_t clock;
    port_rule ports[PORT_RULES_MAX];
    int32_t ports_count;
    played_socket *sockets;   // by fd - FIRST_FD
    int32_t count, capacity;
    int32_t accepting_from;   // no socket before it waits to be accepted
    int32_t *connected;       // descriptors in the order of claw_connect
    int32_t connected_count, connected_capacity;
    int32_t connecting_from;  // no connect before it is still under way
    outcome *outcomes;        // of the next connects; those before outcomes_used are spent
    int32_t outcomes_count, outcomes_used, outcomes_capacity;
    name *names;
    int32_t names_count, names_capacity;
} played_state;

static played_state *state_of(claw_loop *loop) { return loop->state; }

/// Makes room for one more element. False when memory is out.
static bool grow(void **array, int32_t count, int32_t *capacity, size_t element) {
    if (count < *capacity) return true;
    int32_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    void *grown = realloc(*array, (size_t)wanted * element);
    if (grown == NULL) return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

static played_socket *played_at(claw_loop *loop, int32_t fd) {
    played_state *state = state_of(loop);
    if (loop->backend_id != CLAW_BACKEND_PLAYED || fd < FIRST_FD || fd - FIRST_FD >= state->count) return NULL;
    return &state->sockets[fd - FIRST_FD];
}

static int32_t played_open(claw_loop *loop) {
    played_state *state = state_of(loop);
    if ((uint32_t)state->count + FIRST_FD >= loop->sockets_count) return -EMFILE;
    if (!grow((void **)&state->sockets, state->count, &state->capacity, sizeof(played_socket))) return -ENOMEM;
    state->sockets[state->count] = (played_socket){ .window = UINT64_MAX, .listener = -1 };
    return FIRST_FD + state->count++;
}

// ---- the script ----------------------------------------------------------------------------

int32_t claw_played_client(claw_loop *loop, int32_t listen_fd) {
    claw_socket *listener = claw_socket_at(loop, listen_fd);
    if (listener == NULL || listener->kind != CLAW_KIND_LISTENER) return -EAGAIN;
    int32_t fd = played_open(loop);
    if (fd < 0) return fd;
    played_socket *p = played_at(loop, fd);
    p->listener = listen_fd;
    p->accepting = true;
    return fd;
}

int32_t claw_played_connect_result(claw_loop *loop, int32_t result, uint64_t delay_ns) {
    played_state *state = state_of(loop);
    if (!grow((void **)&state->outcomes, state->outcomes_count, &state->outcomes_capacity, sizeof(outcome))) return -ENOMEM;
    state->outcomes[state->outcomes_count++] = (outcome){ .result = result, .delay_ns = delay_ns };
    return 0;
}

int32_t claw_played_port(claw_loop *loop, uint16_t port, int32_t result, uint64_t delay_ns) {
    played_state *state = state_of(loop);
    int32_t at = 0;
    while (at < state->ports_count && state->ports[at].port != port) at++;
    if (at == PORT_RULES_MAX) return -ENOSPC;
    if (at == state->ports_count) state->ports_count++;
    state->ports[at] = (port_rule){ .port = port, .result = result, .delay_ns = delay_ns };
    return 0;
}

int32_t claw_played_connected(claw_loop *loop, int32_t index, int32_t *fd, claw_address *address) {
    played_state *state = state_of(loop);
    if (index >= 0 && index < state->connected_count) {
        int32_t which = state->connected[index];
        if (fd != NULL) *fd = which;
        if (address != NULL) *address = played_at(loop, which)->address;
    }
    return state->connected_count;
}

/// Tells the record, if the code under test has attached the descriptor, what is there by now.
static void news(claw_loop *loop, int32_t fd) {
    claw_socket *s = claw_stream_at(loop, fd);
    played_socket *p = played_at(loop, fd);
    if (s == NULL) return;
    if (p->arrived != NULL || p->ended || p->error != 0) s->flags |= CLAW_SOCKET_READABLE;
    if (p->ended) s->flags |= CLAW_SOCKET_ENDING;
    if (p->error != 0) {
        s->flags |= CLAW_SOCKET_FAILED;
        s->error = p->error;
    }
    if ((s->flags & CLAW_SOCKET_WANTS_WRITE) && !p->connecting && (p->window > 0 || p->error != 0))
        s->flags = (uint16_t)((s->flags | CLAW_SOCKET_WRITABLE) & ~CLAW_SOCKET_WANTS_WRITE);
    claw_ready(loop, fd);
}

int32_t claw_played_deliver(claw_loop *loop, int32_t fd, const void *bytes, size_t length) {
    played_socket *p = played_at(loop, fd);
    if (p == NULL) return -EBADF;
    if (p->state >= STATE_CLOSED || p->ended || p->error != 0) return -EPIPE;
    if (length == 0) return 0;
    if (length > SIZE_MAX - sizeof(chunk)) return -EINVAL;
    chunk *c = malloc(sizeof *c + length);
    if (c == NULL) return -ENOMEM;
    *c = (chunk){ .length = length };
    memcpy(c->bytes, bytes, length);
    if (p->arrived_last != NULL) p->arrived_last->next = c;
    else p->arrived = c;
    p->arrived_last = c;
    news(loop, fd);
    return 0;
}

int32_t claw_played_end(claw_loop *loop, int32_t fd, int32_t error) {
    played_socket *p = played_at(loop, fd);
    if (p == NULL) return -EBADF;
    if (p->state >= STATE_CLOSED || p->error != 0 || (p->ended && error == 0)) return -EPIPE;
    if (error == 0) p->ended = true;
    else p->error = error;
    news(loop, fd);
    return 0;
}

int32_t claw_played_window(claw_loop *loop, int32_t fd, uint64_t bytes) {
    played_socket *p = played_at(loop, fd);
    if (p == NULL) return -EBADF;
    p->window = bytes;
    if (bytes > 0) news(loop, fd);
    return 0;
}

int64_t claw_played_sent(claw_loop *loop, int32_t fd, void *into, size_t capacity) {
    played_socket *p = played_at(loop, fd);
    if (p == NULL) return -EBADF;
    if (into == NULL) return (int64_t)p->sent_length;
    size_t n = p->sent_length < capacity ? p->sent_length : capacity;
    if (n == 0) return 0;
    memcpy(into, p->sent, n);
    memmove(p->sent, p->sent + n, p->sent_length - n);
    p->sent_length -= n;
    return (int64_t)n;
}

int32_t claw_played_state(claw_loop *loop, int32_t fd) {
    played_socket *p = played_at(loop, fd);
    return p == NULL ? -EBADF : p->state;
}

uint32_t claw_played_receive_mode(claw_loop *loop, int32_t fd) {
    played_socket *p = played_at(loop, fd);
    return p == NULL ? CLAW_RECEIVE_OFF : p->mode;
}

void claw_played_advance(claw_loop *loop, uint64_t nanoseconds) {
    if (__builtin_add_overflow(state_of(loop)->clock, nanoseconds, &state_of(loop)->clock)) state_of(loop)->clock = UINT64_MAX;
}

static name *name_find(played_state *state, const char *host) {
    for (int32_t i = 0; i < state->names_count; i++)
        if (strcmp(state->names[i].host, host) == 0) return &state->names[i];
    return NULL;
}

int32_t claw_played_name(claw_loop *loop, const char *host, const char *address) {
    played_state *state = state_of(loop);
    char *text = address != NULL ? strdup(address) : NULL;
    if (address != NULL && text == NULL) return -ENOMEM;
    name *known = name_find(state, host);
    if (known != NULL) {
        free(known->address);
        known->address = text;
        return 0;
    }
    char *key = strdup(host);
    if (key == NULL || !grow((void **)&state->names, state->names_count, &state->names_capacity, sizeof(name))) {
        free(key);
        free(text);
        return -ENOMEM;
    }
    state->names[state->names_count++] = (name){ .host = key, .address = text };
    return 0;
}

// ---- the kernel's part ---------------------------------------------------------------------

static int32_t accept_start(claw_loop *loop, int32_t fd) { (void)loop; (void)fd; return 0; }
static void accept_stop(claw_loop *loop, int32_t fd) { (void)loop; (void)fd; }

static int32_t attach(claw_loop *loop, int32_t fd) {
    played_socket *p = played_at(loop, fd);
    if (p == NULL || p->state >= STATE_CLOSED) return -EBADF;
    news(loop, fd);
    return 0;
}

static int32_t connect_start(claw_loop *loop, const claw_address *address, uint64_t token) {
    played_state *state = state_of(loop);
    if (!grow((void **)&state->connected, state->connected_count, &state->connected_capacity, sizeof(int32_t))) return -ENOMEM;
    int32_t fd = played_open(loop);
    if (fd < 0) return fd;
    outcome next = { 0 };
    if (state->outcomes_used < state->outcomes_count) next = state->outcomes[state->outcomes_used++];
    for (int32_t i = 0; i < state->ports_count; i++)
        if (state->ports[i].port == claw_address_port(address)) next = (outcome){ .result = state->ports[i].result, .delay_ns = state->ports[i].delay_ns };
    played_socket *p = played_at(loop, fd);
    p->address = *address;
    p->connecting = true;
    p->connect_result = next.result;
    if (__builtin_add_overflow(state->clock, next.delay_ns, &p->connect_due_ns)) p->connect_due_ns = UINT64_MAX;
    state->connected[state->connected_count++] = fd;
    claw_socket_begin(loop, fd, CLAW_KIND_CONNECTING, token);
    return fd;
}

static void receive(claw_loop *loop, int32_t fd, uint32_t mode_before) {
    (void)mode_before;
    played_at(loop, fd)->mode = loop->sockets[fd].mode;
    claw_ready(loop, fd);
}

/// Takes up to length bytes off what arrived, over the bounds of chunks only if asked to.
static size_t take(played_socket *p, uint8_t *into, size_t length, bool one_chunk) {
    size_t taken = 0;
    while (p->arrived != NULL && taken < length) {
        chunk *c = p->arrived;
        size_t n = c->length - c->offset < length - taken ? c->length - c->offset : length - taken;
        memcpy(into + taken, c->bytes + c->offset, n);
        taken += n;
        c->offset += n;
        if (c->offset < c->length) break;
        p->arrived = c->next;
        if (p->arrived == NULL) p->arrived_last = NULL;
        free(c);
        if (one_chunk) break;
    }
    return taken;
}

static int64_t recv_played(claw_loop *loop, int32_t fd, void *into, size_t length) {
    played_socket *p = played_at(loop, fd);
    const claw_socket *s = &loop->sockets[fd];
    if (s->flags & CLAW_SOCKET_OVER) return -s->error;
    if (s->kind == CLAW_KIND_CONNECTING) return -EAGAIN;
    int64_t n = (int64_t)take(p, into, length, false);
    if (n == 0) n = p->error != 0 ? -p->error : p->ended ? 0 : -EAGAIN;
    return claw_socket_recv_done(loop, fd, n, length);
}

static int64_t send_played(claw_loop *loop, int32_t fd, const claw_slice *slices, int32_t count) {
    played_socket *p = played_at(loop, fd);
    claw_socket *s = &loop->sockets[fd];
    if (p->error != 0) return -p->error;
    if (p->state != STATE_OPEN) return -EPIPE;
    uint64_t window = p->connecting ? 0 : p->window;
    size_t total = 0, taken = 0;
    for (int32_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(total, slices[i].length, &total) || total > PTRDIFF_MAX) return -EINVAL;
        size_t n = slices[i].length < window ? slices[i].length : (size_t)window;
        if (n == 0) continue;
        if (p->sent_length + n > p->sent_capacity) {
            size_t wanted = (p->sent_length + n) * 2;
            uint8_t *grown = realloc(p->sent, wanted);
            if (grown == NULL) return taken > 0 ? (int64_t)taken : -ENOMEM;
            p->sent = grown;
            p->sent_capacity = wanted;
        }
        memcpy(p->sent + p->sent_length, slices[i].base, n);
        p->sent_length += n;
        taken += n;
        window -= n;
    }
    if (p->window != UINT64_MAX) p->window -= taken;
    if (taken == total) return (int64_t)taken;
    s->flags = (uint16_t)((s->flags | CLAW_SOCKET_WANTS_WRITE) & ~CLAW_SOCKET_WRITABLE);
    return taken > 0 ? (int64_t)taken : -EAGAIN;
}

static int32_t shutdown_send(claw_loop *loop, int32_t fd) {
    played_socket *p = played_at(loop, fd);
    if (p->connecting || p->error != 0) return -ENOTCONN;
    p->state = STATE_SEND_ENDED;
    return 0;
}

static void forget_arrived(played_socket *p) {
    while (p->arrived != NULL) {
        chunk *next = p->arrived->next;
        free(p->arrived);
        p->arrived = next;
    }
    p->arrived_last = NULL;
}

static void close_socket(claw_loop *loop, int32_t fd, bool reset) {
    played_socket *p = played_at(loop, fd);
    p->state = reset ? STATE_RESET : STATE_CLOSED;
    p->connecting = false;
    forget_arrived(p);
}

static int32_t watch(claw_loop *loop, int32_t fd, uint32_t interest_before) {
    (void)loop; (void)fd; (void)interest_before;
    return -ENOTSUP;
}

/// A name nobody scripted answers as an IP literal would, or not at all.
static int32_t resolve(claw_loop *loop, const char *host, uint16_t port, uint64_t token) {
    name *known = name_find(state_of(loop), host);
    const char *text = known != NULL ? known->address : host;
    claw_address address;
    bool found = text != NULL && claw_address_parse(text, port, &address) == 0;
    return claw_resolver_answer(loop, token, found ? 1 : EAI_NONAME, &address);
}

// ---- waiting -------------------------------------------------------------------------------

static void surface_accepted(claw_loop *loop, claw_batch *batch) {
    played_state *state = state_of(loop);
    while (state->accepting_from < state->count && !state->sockets[state->accepting_from].accepting) state->accepting_from++;
    for (int32_t i = state->accepting_from; i < state->count && !claw_batch_full(batch); i++) {
        played_socket *p = &state->sockets[i];
        if (!p->accepting) continue;
        claw_socket *listener = &loop->sockets[p->listener];
        if (listener->kind != CLAW_KIND_LISTENER) continue;
        p->accepting = false;
        claw_emit(batch, listener, p->listener, CLAW_ACCEPTED, FIRST_FD + i);
    }
}

/// Connects end in the order of their hours, and of their beginning when that is the same.
static void note_connected(claw_loop *loop) {
    played_state *state = state_of(loop);
    while (state->connecting_from < state->connected_count
           && !played_at(loop, state->connected[state->connecting_from])->connecting) state->connecting_from++;
    for (;;) {
        int32_t first = -1;
        for (int32_t i = state->connecting_from; i < state->connected_count; i++) {
            played_socket *p = played_at(loop, state->connected[i]);
            if (!p->connecting || p->connect_due_ns > state->clock) continue;
            if (first < 0 || p->connect_due_ns < played_at(loop, first)->connect_due_ns) first = state->connected[i];
        }
        if (first < 0) return;
        played_socket *p = played_at(loop, first);
        p->connecting = false;
        loop->sockets[first].error = -p->connect_result;
        loop->sockets[first].flags |= CLAW_SOCKET_CONNECTED;
        news(loop, first);
    }
}

static void serve_bytes(claw_loop *loop, claw_socket *s, int32_t fd, claw_batch *batch) {
    played_socket *p = played_at(loop, fd);
    for (int reads = 0; p->arrived != NULL; reads++) {
        if (reads == READS_PER_WAIT || claw_batch_full(batch)) {
            claw_ready(loop, fd);
            return;
        }
        uint32_t buffer = claw_buffer_take(loop);
        if (buffer == CLAW_NO_BUFFER_VALUE) {
            claw_list_push(loop, CLAW_LIST_STARVED, fd);
            return;
        }
        size_t n = take(p, loop->pool.base + (size_t)buffer * loop->pool.bytes, loop->pool.bytes, true);
        claw_event *event = claw_emit(batch, s, fd, CLAW_RECEIVED, (int32_t)n);
        event->buffer = buffer;
        event->flags = p->arrived != NULL ? CLAW_MORE : 0;
    }
    if (!p->ended && p->error == 0) {
        s->flags &= (uint16_t)~CLAW_SOCKET_READABLE;
        return;
    }
    if (claw_batch_full(batch)) claw_ready(loop, fd);
    else claw_socket_over(s, fd, batch, p->error);
}

static void serve(claw_loop *loop, int32_t fd, claw_batch *batch) {
    claw_socket *s = claw_stream_at(loop, fd);
    if (s == NULL) return;
    if (!claw_socket_notices(loop, s, fd, batch)) {
        claw_ready(loop, fd);
        return;
    }
    if (s->kind == CLAW_KIND_STREAM && s->mode == CLAW_RECEIVE_BUFFERED && !(s->flags & CLAW_SOCKET_OVER))
        serve_bytes(loop, s, fd, batch);
}

static int32_t turn(claw_loop *loop, claw_batch *batch, int64_t timeout_ns) {
    (void)timeout_ns;
    claw_loop_roused(loop);
    surface_accepted(loop, batch);
    note_connected(loop);
    for (uint32_t left = loop->lists[CLAW_LIST_READY].count; left > 0 && !claw_batch_full(batch); left--)
        serve(loop, claw_list_pop(loop, CLAW_LIST_READY), batch);
    loop->now = state_of(loop)->clock;
    return 0;
}

// ---- creating and destroying ---------------------------------------------------------------

static void destroy(claw_loop *loop) {
    played_state *state = state_of(loop);
    for (int32_t i = 0; i < state->count; i++) {
        forget_arrived(&state->sockets[i]);
        free(state->sockets[i].sent);
    }
    for (int32_t i = 0; i < state->names_count; i++) {
        free(state->names[i].host);
        free(state->names[i].address);
    }
    free(state->sockets);
    free(state->connected);
    free(state->outcomes);
    free(state->names);
    free(state);
}

static const claw_backend played_backend = {
    .wait = turn, .accept_start = accept_start, .accept_stop = accept_stop, .attach = attach,
    .connect = connect_start, .receive = receive, .recv = recv_played, .send = send_played,
    .shutdown_send = shutdown_send, .close = close_socket, .watch = watch, .resolve = resolve, .destroy = destroy,
};

int32_t claw_played_create(claw_loop *loop) {
    played_state *state = calloc(1, sizeof *state);
    if (state == NULL) return -ENOMEM;
    state->clock = loop->now = CLOCK_START_NS;
    loop->state = state;
    loop->backend = &played_backend;
    return 0;
}
