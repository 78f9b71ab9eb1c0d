// claw_os: the few operating-system services that are not a loop: listening sockets, processes,
// signals, threads, clocks, files. Blocking calls are marked; none of those is used by a worker.
#ifndef CLAW_OS_H
#define CLAW_OS_H
#include "claw_loop.h"

/// Parses an IP literal ("127.0.0.1", "::1", "[::1]") or "unix:/path"; -EINVAL for anything else.
int32_t claw_address_parse(const char *text, uint16_t port, claw_address *out);
/// Writes the address as text without port; returns the length written (< capacity).
int32_t claw_address_text(const claw_address *address, char *into, size_t capacity);
/// The port of an IP address, 0 for unix.
uint16_t claw_address_port(const claw_address *address);
/// The peer's and the own address of a connected socket.
int32_t claw_peer_address(int32_t fd, claw_address *out);
int32_t claw_local_address(int32_t fd, claw_address *out);
/// Creates a listening socket (non-blocking, SO_REUSEADDR, and SO_REUSEPORT when asked). -EADDRINUSE etc.
int32_t claw_listen(const claw_address *address, int32_t backlog, int32_t reuseport);
/// Closes a descriptor that no loop owns.
int32_t claw_os_close(int32_t fd);

/// fork(2): 0 in the child, pid in the parent, negated errno. Only before any thread exists.
int32_t claw_fork(void);
/// waitpid: blocks; *status: exit code, or 128+signal. Returns pid or negated errno (-EINTR).
int32_t claw_wait_child(int32_t pid, int32_t *status);
/// Asks the kernel to send `signal` to this process when its parent dies.
int32_t claw_die_with_parent(int32_t signal);
/// Blocks SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 (and SIGCHLD if child != 0), ignores SIGPIPE.
int32_t claw_signals_block(int32_t child);
/// Waits for one of the blocked signals: blocks, at most timeout_ns (< 0 without end). Signal, or 0 on time-out.
int32_t claw_signals_wait(int64_t timeout_ns);
int32_t claw_kill(int32_t pid, int32_t signal);

/// Starts a thread. Swift hands its own context; entry runs on the new thread (not a callback into the
/// caller: it is the thread's main function). Name ≤ 15 bytes.
int32_t claw_thread_start(const char *name, void *(*entry)(void *), void *context, uint64_t *out);
int32_t claw_thread_join(uint64_t thread);
/// Pins the calling thread to one of the process's allowed cores (index modulo their number).
int32_t claw_thread_pin(int32_t index);
/// Number of cores this process may use.
int32_t claw_cores(void);

/// CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds.
uint64_t claw_monotonic_ns(void);
uint64_t claw_realtime_ns(void);
/// Fills from the system's CSPRNG.
int32_t claw_random(void *into, size_t length);
/// SHA-256 of `length` bytes (OpenSSL, which uses what the processor has for it) into 32 bytes.
void claw_sha256(const void *bytes, size_t length, uint8_t *digest);

/// Own process: resident bytes, virtual bytes, user+system CPU ns, open descriptors, soft descriptor limit, start time (s since epoch).
typedef struct claw_process { uint64_t resident, virtual_bytes, cpu_user_ns, cpu_system_ns, descriptors, descriptors_max, threads; double start_time; } claw_process;
int32_t claw_process_read(claw_process *out);
/// Lets go of the program text this process has touched (madvise; what is needed again comes back from the page cache): for a process that will only
/// wait from now on. Returns the bytes of mappings let go.
int64_t claw_forget_text(void);
/// Raises the soft descriptor limit to the hard one; returns the new limit.
int64_t claw_descriptors_raise(void);

/// A lock for what threads share off the request path. (A pthread mutex, which the thread sanitizer understands; it takes
/// Swift's Synchronization.Mutex on Linux for a race.) Creates; destroys; take blocks.
typedef struct claw_lock claw_lock;
int32_t claw_lock_create(claw_lock **out);
void claw_lock_destroy(claw_lock *lock);
void claw_lock_take(claw_lock *lock);
void claw_lock_release(claw_lock *lock);

// ---- words shared between threads: one writer, read by others ------------------------------
static inline void claw_counter_add(uint64_t *word, uint64_t n) {
    __atomic_store_n(word, __atomic_load_n(word, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
static inline uint64_t claw_word_load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline uint64_t claw_word_load_relaxed(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static inline void claw_word_store(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
static inline void claw_word_store_relaxed(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
static inline uint64_t claw_word_add(uint64_t *word, uint64_t n) { return __atomic_fetch_add(word, n, __ATOMIC_ACQ_REL); }
static inline int32_t claw_word_cas(uint64_t *word, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
#endif
