// The buffer pool of a loop: one mapping, a stack of released buffers on top of a mark below which
// buffers were used before. The most recently released buffer goes out first, since its lines are
// still in the cache, and a loop that never needs more than ten buffers never touches an eleventh.
#include "claw_inside.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { BUFFER_BYTES_MAX = 1 << 24, BUFFER_COUNT_MAX = 1 << 24 };

static void *claw_map(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

int32_t claw_pool_create(claw_pool *pool, uint32_t bytes, uint32_t count) {
    if (bytes == 0 || bytes % 4096 != 0 || bytes > BUFFER_BYTES_MAX) return -EINVAL;
    if (count == 0 || count > BUFFER_COUNT_MAX) return -EINVAL;
    *pool = (claw_pool){ .bytes = bytes, .count = count };
    pool->base = claw_map((size_t)bytes * count);
    pool->stack = claw_map(sizeof(uint32_t) * (size_t)count);
    pool->held = claw_map(sizeof(claw_held) * (size_t)count);
    if (pool->base != NULL && pool->stack != NULL && pool->held != NULL) return 0;
    claw_pool_destroy(pool);
    return -ENOMEM;
}

void claw_pool_destroy(claw_pool *pool) {
    if (pool->base != NULL) munmap(pool->base, (size_t)pool->bytes * pool->count);
    if (pool->stack != NULL) munmap(pool->stack, sizeof(uint32_t) * (size_t)pool->count);
    if (pool->held != NULL) munmap(pool->held, sizeof(claw_held) * (size_t)pool->count);
    *pool = (claw_pool){ 0 };
}

uint8_t *claw_buffer_base(const claw_loop *loop) { return loop->pool.base; }

uint32_t claw_buffer_take(claw_loop *loop) {
    claw_pool *pool = &loop->pool;
    if (pool->stack_count > 0) {
        pool->in_use++;
        return pool->stack[--pool->stack_count];
    }
    if (pool->fresh == pool->count) return CLAW_NO_BUFFER_VALUE;
    pool->in_use++;
    return pool->fresh++;
}

void claw_buffer_release(claw_loop *loop, uint32_t buffer) {
    claw_pool *pool = &loop->pool;
    // A number that was never given out, or more releases than takes, would corrupt the stack.
    if (buffer >= pool->fresh || pool->in_use == 0) return;
    pool->in_use--;
    pool->stack[pool->stack_count++] = buffer;
}

uint32_t claw_buffers_in_use(const claw_loop *loop) { return loop->pool.in_use; }
