// Names. getaddrinfo blocks for as long as the system's resolver pleases, so each loop that ever asks
// has one thread for it. Questions and answers are entries of a fixed table that passes them
// between the two threads under a mutex; the table is the bound (256 questions on their way, 256
// answers not fetched yet, of which the oldest is forgotten first).
//
// The thread cannot be interrupted inside getaddrinfo, so destroying a loop does not wait for it: the
// resolver belongs to whichever of the two lets go last.
#include "claw_inside.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { QUESTIONS_MAX = 256, ANSWERS_MAX = 256, ADDRESSES_MAX = 16, HOST_MAX = 256, STACK_BYTES = 512 * 1024 };

typedef struct entry {
    struct entry *next;
    uint64_t token;
    int32_t result;
    uint16_t port;
    char host[HOST_MAX];
    claw_address addresses[ADDRESSES_MAX];
} entry;

typedef struct entry_list { entry *first, *last; uint32_t count; } entry_list;

typedef struct claw_resolver {
    pthread_mutex_t mutex;
    pthread_cond_t asked;
    claw_loop *loop;         // under mutex; NULL once the loop is gone
    entry_list questions;    // under mutex
    entry_list answers;      // under mutex; not surfaced yet
    entry_list told;         // the loop's thread only: surfaced, not fetched yet
    uint32_t open;           // the loop's thread only: asked and not surfaced
    bool threaded;           // false for a loop that only has scripted answers
} claw_resolver;

static void list_append(entry_list *list, entry *e) {
    e->next = NULL;
    if (list->last != NULL) list->last->next = e;
    else list->first = e;
    list->last = e;
    list->count++;
}

static entry *list_take(entry_list *list) {
    entry *e = list->first;
    if (e == NULL) return NULL;
    list->first = e->next;
    if (list->first == NULL) list->last = NULL;
    list->count--;
    return e;
}

static void list_free(entry_list *list) {
    for (entry *e; (e = list_take(list)) != NULL;) free(e);
}

// ---- the thread ----------------------------------------------------------------------------

static void set_port(claw_address *address, uint16_t port) {
    if (address->family == AF_INET) ((struct sockaddr_in *)(void *)address->bytes)->sin_port = htons(port);
    if (address->family == AF_INET6) ((struct sockaddr_in6 *)(void *)address->bytes)->sin6_port = htons(port);
}

/// glibc's EAI_* are negative themselves; elsewhere they are positive.
static int32_t negative(int error) { return error > 0 ? -error : error; }

static void look_up(entry *e) {
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
    int error = getaddrinfo(e->host, NULL, &hints, &found);
    e->result = error == 0 ? 0 : negative(error);
    for (struct addrinfo *a = found; error == 0 && a != NULL && e->result < ADDRESSES_MAX; a = a->ai_next) {
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
        claw_address *address = &e->addresses[e->result++];
        *address = (claw_address){ .length = a->ai_addrlen, .family = (uint32_t)a->ai_family };
        memcpy(address->bytes, a->ai_addr, a->ai_addrlen);
        set_port(address, e->port);
    }
    if (found != NULL) freeaddrinfo(found);
    if (e->result == 0) e->result = negative(EAI_NONAME);
}

static void resolver_free(claw_resolver *r) {
    list_free(&r->questions);
    list_free(&r->answers);
    pthread_cond_destroy(&r->asked);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

static void *resolver_main(void *context) {
    claw_resolver *r = context;
    pthread_mutex_lock(&r->mutex);
    while (r->loop != NULL) {
        entry *e = list_take(&r->questions);
        if (e == NULL) {
            pthread_cond_wait(&r->asked, &r->mutex);
            continue;
        }
        pthread_mutex_unlock(&r->mutex);
        look_up(e);
        pthread_mutex_lock(&r->mutex);
        list_append(&r->answers, e);
        if (r->loop != NULL) claw_loop_rouse(r->loop, CLAW_WAKE_RESOLVER);
    }
    pthread_mutex_unlock(&r->mutex);
    resolver_free(r);
    return NULL;
}

/// Signals are for the threads that wait for them, so this one blocks them all.
static int32_t thread_start(claw_resolver *r) {
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attributes, resolver_main, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error != 0) return -error;
    pthread_setname_np(thread, "claw-resolver");
    r->threaded = true;
    return 0;
}

// ---- the loop's side -----------------------------------------------------------------------

static claw_resolver *resolver_of(claw_loop *loop) {
    if (loop->resolver != NULL) return loop->resolver;
    claw_resolver *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->asked, NULL);
    r->loop = loop;
    return loop->resolver = r;
}

static entry *entry_create(uint64_t token, uint16_t port) {
    entry *e = malloc(sizeof *e);
    if (e == NULL) return NULL;
    e->token = token;
    e->port = port;
    e->result = 0;
    return e;
}

int32_t claw_resolver_ask(claw_loop *loop, const char *host, uint16_t port, uint64_t token) {
    size_t length = strnlen(host, HOST_MAX);
    if (length == 0 || length == HOST_MAX) return -EINVAL;
    claw_resolver *r = resolver_of(loop);
    if (r == NULL) return -ENOMEM;
    if (r->open >= QUESTIONS_MAX) return -EAGAIN;
    if (!r->threaded) {
        int32_t result = thread_start(r);
        if (result != 0) return result;
    }
    entry *e = entry_create(token, port);
    if (e == NULL) return -ENOMEM;
    memcpy(e->host, host, length + 1);
    r->open++;
    pthread_mutex_lock(&r->mutex);
    list_append(&r->questions, e);
    pthread_cond_signal(&r->asked);
    pthread_mutex_unlock(&r->mutex);
    return 0;
}

int32_t claw_resolver_answer(claw_loop *loop, uint64_t token, int32_t result, const claw_address *addresses) {
    claw_resolver *r = resolver_of(loop);
    if (r == NULL) return -ENOMEM;
    if (r->open >= QUESTIONS_MAX) return -EAGAIN;
    entry *e = entry_create(token, 0);
    if (e == NULL) return -ENOMEM;
    e->result = result > ADDRESSES_MAX ? ADDRESSES_MAX : result;
    if (e->result > 0) memcpy(e->addresses, addresses, sizeof(claw_address) * (size_t)e->result);
    r->open++;
    pthread_mutex_lock(&r->mutex);
    list_append(&r->answers, e);
    pthread_mutex_unlock(&r->mutex);
    loop->resolved = true;
    return 0;
}

static entry *answer_take(claw_resolver *r) {
    pthread_mutex_lock(&r->mutex);
    entry *e = list_take(&r->answers);
    pthread_mutex_unlock(&r->mutex);
    return e;
}

void claw_resolver_collect(claw_loop *loop, claw_batch *batch) {
    claw_resolver *r = loop->resolver;
    while (!claw_batch_full(batch)) {
        entry *e = r != NULL ? answer_take(r) : NULL;
        if (e == NULL) {
            loop->resolved = false;
            return;
        }
        r->open--;
        batch->events[batch->count++] = (claw_event){
            .token = e->token, .result = e->result, .buffer = CLAW_NO_BUFFER_VALUE, .fd = -1, .kind = CLAW_RESOLVED };
        if (e->result <= 0) {
            free(e);
            continue;
        }
        if (r->told.count == ANSWERS_MAX) free(list_take(&r->told));
        list_append(&r->told, e);
    }
}

/// Unlinks the answer of this token.
static entry *told_take(entry_list *told, uint64_t token) {
    entry *before = NULL, *e = told->first;
    while (e != NULL && e->token != token) {
        before = e;
        e = e->next;
    }
    if (e == NULL || before == NULL) return e == NULL ? NULL : list_take(told);
    before->next = e->next;
    if (told->last == e) told->last = before;
    told->count--;
    return e;
}

int32_t claw_resolved(claw_loop *loop, uint64_t token, claw_address *into, int32_t capacity) {
    entry *e = loop->resolver != NULL ? told_take(&loop->resolver->told, token) : NULL;
    if (e == NULL) return 0;
    int32_t count = e->result < capacity ? e->result : capacity;
    if (count > 0) memcpy(into, e->addresses, sizeof(claw_address) * (size_t)count);
    free(e);
    return count > 0 ? count : 0;
}

void claw_resolver_destroy(claw_loop *loop) {
    claw_resolver *r = loop->resolver;
    if (r == NULL) return;
    loop->resolver = NULL;
    list_free(&r->told);
    if (!r->threaded) {
        resolver_free(r);
        return;
    }
    pthread_mutex_lock(&r->mutex);
    r->loop = NULL;
    pthread_cond_signal(&r->asked);
    pthread_mutex_unlock(&r->mutex);
}
