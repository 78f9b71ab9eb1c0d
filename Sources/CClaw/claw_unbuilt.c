// Weak stand-ins while claw_tls.c is being written; to be removed with its arrival.
#include "claw_loop.h"
#include "claw_tls.h"
#include <errno.h>
#define WEAK __attribute__((weak))
WEAK int32_t claw_tls_server(const claw_tls_server_options *o, claw_tls **out, char *p, size_t n) { (void)o; (void)out; (void)p; (void)n; return -ENOSYS; }
WEAK int32_t claw_tls_client(const claw_tls_client_options *o, claw_tls **out, char *p, size_t n) { (void)o; (void)out; (void)p; (void)n; return -ENOSYS; }
WEAK void claw_tls_retain(claw_tls *t) { (void)t; }
WEAK void claw_tls_release(claw_tls *t) { (void)t; }
WEAK int32_t claw_tls_tickets_create(uint32_t s, claw_tls_tickets **out) { (void)s; (void)out; return -ENOSYS; }
WEAK void claw_tls_tickets_release(claw_tls_tickets *t) { (void)t; }
WEAK int64_t claw_tls_expires(const claw_tls *t) { (void)t; return 0; }
WEAK const char *claw_tls_library(const char **k) { (void)k; return ""; }
WEAK int32_t claw_secure_server(claw_loop *l, int32_t fd, claw_tls *t) { (void)l; (void)fd; (void)t; return -ENOSYS; }
WEAK int32_t claw_secure_client(claw_loop *l, int32_t fd, claw_tls *t, const char *h) { (void)l; (void)fd; (void)t; (void)h; return -ENOSYS; }
WEAK int32_t claw_secured(claw_loop *l, int32_t fd, claw_tls_facts *f) { (void)l; (void)fd; (void)f; return -ENOSYS; }
WEAK uint32_t claw_handshakes(const claw_loop *l) { (void)l; return 0; }
