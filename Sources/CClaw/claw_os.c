// Operating-system services that are not a loop, first part: addresses, listening sockets, clocks
// and random bytes. Processes, signals and threads are in claw_process.c.
#include "claw_os.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <openssl/sha.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// ---- addresses -----------------------------------------------------------------------------

static int32_t parse_unix(const char *path, claw_address *out) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof address.sun_path) return -EINVAL;
    memcpy(address.sun_path, path, length + 1);
    out->family = AF_UNIX;
    out->length = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    memcpy(out->bytes, &address, out->length);
    return 0;
}

static int32_t parse_ipv6(const char *text, size_t length, uint16_t port, claw_address *out) {
    char copy[INET6_ADDRSTRLEN];
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    if (length == 0 || length >= sizeof copy) return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = 0;
    if (inet_pton(AF_INET6, copy, &address.sin6_addr) != 1) return -EINVAL;
    out->family = AF_INET6;
    out->length = sizeof address;
    memcpy(out->bytes, &address, sizeof address);
    return 0;
}

int32_t claw_address_parse(const char *text, uint16_t port, claw_address *out) {
    memset(out, 0, sizeof *out);
    if (strncmp(text, "unix:", 5) == 0) return parse_unix(text + 5, out);
    size_t length = strlen(text);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') return parse_ipv6(text + 1, length - 2, port, out);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) return parse_ipv6(text, length, port, out);
    out->family = AF_INET;
    out->length = sizeof address;
    memcpy(out->bytes, &address, sizeof address);
    return 0;
}

/// The path of a unix address: the kernel may report it unterminated, empty (unnamed) or abstract.
static int32_t unix_text(const claw_address *address, char *into, size_t capacity) {
    size_t skip = offsetof(struct sockaddr_un, sun_path);
    const char *path = (const char *)address->bytes + skip;
    size_t longest = address->length > skip ? address->length - skip : 0;
    int length = (int)strnlen(path, longest);
    int n = snprintf(into, capacity, "unix:%.*s", length, path);
    return n < 0 || (size_t)n >= capacity ? -ENOSPC : n;
}

int32_t claw_address_text(const claw_address *address, char *into, size_t capacity) {
    if (capacity == 0) return -ENOSPC;
    into[0] = 0;
    if (address->length > sizeof address->bytes) return -EINVAL;
    const void *host;
    switch (address->family) {
    case AF_UNIX: return unix_text(address, into, capacity);
    case AF_INET: host = &((const struct sockaddr_in *)(const void *)address->bytes)->sin_addr; break;
    case AF_INET6: host = &((const struct sockaddr_in6 *)(const void *)address->bytes)->sin6_addr; break;
    default: return -EINVAL;
    }
    if (inet_ntop((int)address->family, host, into, (socklen_t)capacity) == NULL) return -errno;
    return (int32_t)strlen(into);
}

uint16_t claw_address_port(const claw_address *address) {
    if (address->family == AF_INET) return ntohs(((const struct sockaddr_in *)(const void *)address->bytes)->sin_port);
    if (address->family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)(const void *)address->bytes)->sin6_port);
    return 0;
}

static int32_t address_take(int result, const struct sockaddr_storage *from, socklen_t length, claw_address *out) {
    memset(out, 0, sizeof *out);
    if (result != 0) return -errno;
    if (length > sizeof out->bytes) return -EOVERFLOW;
    out->length = length;
    out->family = from->ss_family;
    memcpy(out->bytes, from, length);
    return 0;
}

int32_t claw_peer_address(int32_t fd, claw_address *out) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    int result = getpeername(fd, (struct sockaddr *)&storage, &length);
    return address_take(result, &storage, length, out);
}

int32_t claw_local_address(int32_t fd, claw_address *out) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    int result = getsockname(fd, (struct sockaddr *)&storage, &length);
    return address_take(result, &storage, length, out);
}

// ---- listening -----------------------------------------------------------------------------

/// A socket file outlives its process and would make bind fail for ever. It is removed only when nobody
/// answers behind it, and only if it is a socket.
static void remove_dead_socket(const claw_address *address) {
    const struct sockaddr_un *name = (const void *)address->bytes;
    struct stat status;
    if (name->sun_path[0] == 0 || lstat(name->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0) return;
    int result = connect(probe, (const struct sockaddr *)name, address->length);
    if (result != 0 && errno == ECONNREFUSED) unlink(name->sun_path);
    close(probe);
}

static int32_t listen_on(int fd, const claw_address *address, int32_t backlog, int32_t reuseport) {
    int on = 1;
    if (address->family == AF_UNIX) {
        remove_dead_socket(address);
    } else {
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return -errno;
        if (reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) return -errno;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    // "::" must not take the IPv4 port along when both are configured.
    if (address->family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)address->bytes, address->length) != 0) return -errno;
    return listen(fd, backlog) == 0 ? 0 : -errno;
}

int32_t claw_listen(const claw_address *address, int32_t backlog, int32_t reuseport) {
    if (address->length < sizeof(sa_family_t) || address->length > sizeof address->bytes) return -EINVAL;
    int fd = socket((int)address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int32_t result = listen_on(fd, address, backlog, reuseport);
    if (result == 0) return fd;
    close(fd);
    return result;
}

int32_t claw_os_close(int32_t fd) { return close(fd) == 0 ? 0 : -errno; }

// ---- clocks and chance ---------------------------------------------------------------------

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t claw_monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t claw_realtime_ns(void) { return clock_ns(CLOCK_REALTIME); }

int32_t claw_random(void *into, size_t length) {
    uint8_t *at = into;
    while (length > 0) {
        ssize_t n = getrandom(at, length, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        at += n;
        length -= (size_t)n;
    }
    return 0;
}

void claw_sha256(const void *bytes, size_t length, uint8_t *digest) { SHA256(bytes ? bytes : "", length, digest); }
