// Weak stand-ins while claw_h2.c is being written; to be removed with their arrival.
#include "claw_loop.h"
#include "claw_h2.h"
#include <errno.h>
#define WEAK __attribute__((weak))
WEAK int32_t claw_h2_create(const claw_h2_options *o, claw_h2 **out) { (void)o; (void)out; return -ENOSYS; }
WEAK void claw_h2_destroy(claw_h2 *h) { (void)h; }
WEAK void claw_h2_clock(claw_h2 *h, uint64_t n) { (void)h; (void)n; }
WEAK int32_t claw_h2_feed(claw_h2 *h, const uint8_t *b, size_t l) { (void)h; (void)b; (void)l; return -ENOSYS; }
WEAK int32_t claw_h2_next(claw_h2 *h, claw_h2_event *e) { (void)h; (void)e; return 0; }
WEAK void claw_h2_user(claw_h2 *h, uint32_t s, uint64_t u) { (void)h; (void)s; (void)u; }
WEAK void claw_h2_consume(claw_h2 *h, uint32_t s, size_t b) { (void)h; (void)s; (void)b; }
WEAK int32_t claw_h2_answer(claw_h2 *h, uint32_t s, uint32_t st, const char *l, size_t n, int32_t e) { (void)h; (void)s; (void)st; (void)l; (void)n; (void)e; return -ENOSYS; }
WEAK int32_t claw_h2_ask(claw_h2 *h, const char *b, size_t n, const char *sc, uint64_t u, int32_t e) { (void)h; (void)b; (void)n; (void)sc; (void)u; (void)e; return -ENOSYS; }
WEAK int32_t claw_h2_offer(claw_h2 *h, uint32_t s, size_t b, int32_t e) { (void)h; (void)s; (void)b; (void)e; return -ENOSYS; }
WEAK int32_t claw_h2_trailers(claw_h2 *h, uint32_t s, const char *l, size_t n) { (void)h; (void)s; (void)l; (void)n; return -ENOSYS; }
WEAK int32_t claw_h2_reset(claw_h2 *h, uint32_t s, uint32_t e, int32_t b) { (void)h; (void)s; (void)e; (void)b; return -ENOSYS; }
WEAK int32_t claw_h2_enough(claw_h2 *h, uint32_t s) { (void)h; (void)s; return -ENOSYS; }
WEAK int32_t claw_h2_goaway(claw_h2 *h, uint32_t e, int32_t f) { (void)h; (void)e; (void)f; return -ENOSYS; }
WEAK int32_t claw_h2_ping(claw_h2 *h) { (void)h; return -ENOSYS; }
WEAK int32_t claw_h2_produce(claw_h2 *h, size_t b, claw_h2_piece *p, int32_t c) { (void)h; (void)b; (void)p; (void)c; return 0; }
WEAK int32_t claw_h2_wants_write(const claw_h2 *h) { (void)h; return 0; }
WEAK uint32_t claw_h2_streams(const claw_h2 *h) { (void)h; return 0; }
WEAK int32_t claw_h2_is_over(const claw_h2 *h) { (void)h; return 1; }
WEAK const char *claw_h2_blame(const claw_h2 *h) { (void)h; return 0; }
WEAK uint32_t claw_h2_blame_code(const claw_h2 *h) { (void)h; return 0; }
