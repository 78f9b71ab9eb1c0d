// Operating-system services, second part: processes, signals, threads, and what this process uses.
#include "claw_os.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// ---- processes and signals -----------------------------------------------------------------

int32_t claw_fork(void) {
    // Whatever stdio holds would be written twice.
    fflush(NULL);
    pid_t pid = fork();
    return pid < 0 ? -errno : pid;
}

int32_t claw_wait_child(int32_t pid, int32_t *status) {
    int raw = 0;
    pid_t ended = waitpid(pid, &raw, 0);
    if (ended < 0) return -errno;
    *status = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
    return ended;
}

int32_t claw_die_with_parent(int32_t signal) {
    return prctl(PR_SET_PDEATHSIG, (unsigned long)signal) == 0 ? 0 : -errno;
}

/// The set last blocked is the set waited for.
static sigset_t blocked_signals;

int32_t claw_signals_block(int32_t child) {
    static const int wanted[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 };
    sigemptyset(&blocked_signals);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) sigaddset(&blocked_signals, wanted[i]);
    if (child != 0) sigaddset(&blocked_signals, SIGCHLD);
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    if (sigaction(SIGPIPE, &ignore, NULL) != 0) return -errno;
    return -pthread_sigmask(SIG_BLOCK, &blocked_signals, NULL);
}

int32_t claw_signals_wait(int64_t timeout_ns) {
    uint64_t deadline = timeout_ns < 0 ? 0 : claw_monotonic_ns() + (uint64_t)timeout_ns;
    for (;;) {
        int signal;
        if (timeout_ns < 0) {
            signal = sigwaitinfo(&blocked_signals, NULL);
        } else {
            uint64_t now = claw_monotonic_ns();
            uint64_t left = now < deadline ? deadline - now : 0;
            struct timespec t = { .tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u) };
            signal = sigtimedwait(&blocked_signals, NULL, &t);
        }
        if (signal > 0) return signal;
        if (errno == EAGAIN) return 0;
        if (errno != EINTR) return -errno;
    }
}

int32_t claw_kill(int32_t pid, int32_t signal) { return kill(pid, signal) == 0 ? 0 : -errno; }

// ---- threads -------------------------------------------------------------------------------

enum { THREAD_STACK_BYTES = 512 * 1024, THREAD_STACK_MIN_BYTES = 256 * 1024, THREAD_NAME_BYTES = 16 };

typedef struct thread_start {
    void *(*entry)(void *);
    void *context;
    char name[THREAD_NAME_BYTES];
} thread_start;

/// The thread names itself, so that the name is right from its first log line on.
static void *thread_main(void *argument) {
    thread_start start = *(thread_start *)argument;
    free(argument);
    pthread_setname_np(pthread_self(), start.name);
    return start.entry(start.context);
}

int32_t claw_thread_start(const char *name, void *(*entry)(void *), void *context, uint64_t *out) {
    thread_start *start = calloc(1, sizeof *start);
    if (start == NULL) return -ENOMEM;
    start->entry = entry;
    start->context = context;
    memcpy(start->name, name, strnlen(name, THREAD_NAME_BYTES - 1));
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES) != 0)
        pthread_attr_setstacksize(&attributes, THREAD_STACK_MIN_BYTES);
    int error = pthread_create(&thread, &attributes, thread_main, start);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        free(start);
        return -error;
    }
    *out = (uint64_t)thread;
    return 0;
}

int32_t claw_thread_join(uint64_t thread) { return -pthread_join((pthread_t)thread, NULL); }

int32_t claw_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int32_t)online : 1;
}

int32_t claw_thread_pin(int32_t index) {
    cpu_set_t allowed, one;
    // Of the process, not of this thread: pinning twice must not find only the first core.
    if (sched_getaffinity(getpid(), sizeof allowed, &allowed) != 0) return -errno;
    int count = CPU_COUNT(&allowed);
    if (count == 0 || index < 0) return -EINVAL;
    int nth = index % count;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &allowed) || nth-- > 0) continue;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        return sched_setaffinity(0, sizeof one, &one) == 0 ? 0 : -errno;
    }
    return -EINVAL;
}

// ---- what this process uses ----------------------------------------------------------------

static int64_t read_file(const char *path, char *into, size_t capacity) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    size_t length = 0;
    while (length < capacity - 1) {
        ssize_t n = read(fd, into + length, capacity - 1 - length);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        length += (size_t)n;
    }
    close(fd);
    into[length] = 0;
    return (int64_t)length;
}

static uint64_t count_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) return 0;
    uint64_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.') count++;
    closedir(directory);
    // The directory's own descriptor was among them.
    return count > 0 ? count - 1 : 0;
}

/// Seconds since the epoch at which the machine was up for zero seconds.
static double boot_time(void) {
    struct timespec up, real;
    clock_gettime(CLOCK_BOOTTIME, &up);
    clock_gettime(CLOCK_REALTIME, &real);
    return (double)(real.tv_sec - up.tv_sec) + (double)(real.tv_nsec - up.tv_nsec) / 1e9;
}

int64_t claw_forget_text(void) {
    // Only what is executable and comes from a file: nothing is ever written there, so the file has it all.
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) return -errno;
    struct { unsigned long start, end; } found[64];
    int count = 0;
    char line[512];
    while (count < 64 && fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end;
        char mode[5];
        if (sscanf(line, "%lx-%lx %4s", &start, &end, mode) != 3 || strcmp(mode, "r-xp") != 0 || strchr(line, '/') == NULL) continue;
        found[count].start = start;
        found[count++].end = end;
    }
    fclose(maps);
    int64_t bytes = 0;
    for (int i = 0; i < count; i++)
        if (madvise((void *)found[i].start, found[i].end - found[i].start, MADV_DONTNEED) == 0) bytes += (int64_t)(found[i].end - found[i].start);
    return bytes;
}

int32_t claw_process_read(claw_process *out) {
    char text[1024];
    memset(out, 0, sizeof *out);
    int64_t length = read_file("/proc/self/stat", text, sizeof text);
    if (length < 0) return (int32_t)length;
    // The command name in parentheses may hold anything, so count fields from its last one (proc(5)).
    const char *at = strrchr(text, ')');
    unsigned long long user, system, started, virtual_bytes;
    long long resident, threads;
    if (at == NULL || sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %lld %*d %llu %llu %lld",
                             &user, &system, &threads, &started, &virtual_bytes, &resident) != 6) return -EINVAL;
    uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK), page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct rusage usage;
    struct rlimit limit;
    out->resident = (uint64_t)resident * page;
    out->virtual_bytes = virtual_bytes;
    out->threads = (uint64_t)threads;
    out->start_time = boot_time() + (double)started / (double)ticks;
    out->descriptors = count_descriptors();
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) out->descriptors_max = limit.rlim_cur;
    // Finer than the ticks of stat.
    if (getrusage(RUSAGE_SELF, &usage) != 0) return -errno;
    out->cpu_user_ns = (uint64_t)usage.ru_utime.tv_sec * 1000000000u + (uint64_t)usage.ru_utime.tv_usec * 1000u;
    out->cpu_system_ns = (uint64_t)usage.ru_stime.tv_sec * 1000000000u + (uint64_t)usage.ru_stime.tv_usec * 1000u;
    return 0;
}

int64_t claw_descriptors_raise(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -errno;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return -errno;
    return limit.rlim_max > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_max;
}
