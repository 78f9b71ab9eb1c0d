// A lock between threads: a pthread mutex behind an opaque handle (see claw_os.h).
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "CClaw.h"

struct claw_lock { pthread_mutex_t mutex; };

int32_t claw_lock_create(claw_lock **out) {
    claw_lock *lock = malloc(sizeof *lock);
    if (!lock) return -ENOMEM;
    int failed = pthread_mutex_init(&lock->mutex, NULL);
    if (failed) {
        free(lock);
        return -failed;
    }
    *out = lock;
    return 0;
}

void claw_lock_destroy(claw_lock *lock) {
    pthread_mutex_destroy(&lock->mutex);
    free(lock);
}

void claw_lock_take(claw_lock *lock) { pthread_mutex_lock(&lock->mutex); }
void claw_lock_release(claw_lock *lock) { pthread_mutex_unlock(&lock->mutex); }
