// claw_played: the scripted kernel behind CLAW_BACKEND_PLAYED, for tests. A test makes connections
// appear, delivers bytes, ends and resets them, sets send windows and advances time; it reads
// what the code under test sent and which sockets it opened, closed or paused. Descriptors are
// small integers from 1000 up and name nothing in the real kernel.
#ifndef CLAW_PLAYED_H
#define CLAW_PLAYED_H
#include "claw_loop.h"

/// A client connects to the listening fd given to claw_accept_start. Returns the peer's descriptor as
/// the loop will see it, or -EAGAIN while nothing accepts.
int32_t claw_played_client(claw_loop *loop, int32_t listen_fd);
/// How the next claw_connect calls end, in order: 0 or negated errno (default 0), after delay_ns.
int32_t claw_played_connect_result(claw_loop *loop, int32_t result, uint64_t delay_ns);
/// How every claw_connect to this port ends from now on, whatever claw_played_connect_result said. At most 64 ports.
int32_t claw_played_port(claw_loop *loop, uint16_t port, int32_t result, uint64_t delay_ns);
/// The descriptors claw_connect opened, in order; returns how many since creation, writes the address asked for.
int32_t claw_played_connected(claw_loop *loop, int32_t index, int32_t *fd, claw_address *address);
/// The peer of fd sends bytes (copied). They surface as the socket's receive mode allows; buffered, each
/// delivery is an event of its own (several beyond a buffer's size).
int32_t claw_played_deliver(claw_loop *loop, int32_t fd, const void *bytes, size_t length);
/// The peer ends its side (error == 0) or resets (error > 0, e.g. ECONNRESET).
int32_t claw_played_end(claw_loop *loop, int32_t fd, int32_t error);
/// How many bytes claw_send takes on fd from now on before -EAGAIN (default: no limit).
int32_t claw_played_window(claw_loop *loop, int32_t fd, uint64_t bytes);
/// Copies out and forgets what was sent on fd so far; returns the number of bytes. With into NULL it only
/// tells how many there are. Works after the close too: descriptors are never used twice.
int64_t claw_played_sent(claw_loop *loop, int32_t fd, void *into, size_t capacity);
/// 0 open, 1 sending ended, 2 closed, 3 reset by us.
int32_t claw_played_state(claw_loop *loop, int32_t fd);
/// The receive mode last asked for.
uint32_t claw_played_receive_mode(claw_loop *loop, int32_t fd);
/// Moves the clock. Time stands still otherwise; a wait with nothing to deliver returns 0 at once.
void claw_played_advance(claw_loop *loop, uint64_t nanoseconds);
/// The next claw_resolve calls of this host answer with this address (127.0.0.1-style text) or, address NULL, fail.
int32_t claw_played_name(claw_loop *loop, const char *host, const char *address);
#endif
