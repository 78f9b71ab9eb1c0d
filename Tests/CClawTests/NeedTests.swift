import CClaw
import Glibc
import Testing

/// Descriptors run out, io_uring is refused: each in a process of its own, since limits and the
/// environment belong to the whole process.
@Suite struct NeedTests {
    @Test func RE_01_acceptWithoutDescriptorsPausesAndResumesOnEpoll() async {
        await #expect(processExitsWith: .success) { starve(.epoll) }
    }

    @Test(.enabled(if: Backend.fallback == 0, "io_uring is refused here"))
    func RE_01_acceptWithoutDescriptorsPausesAndResumesOnUring() async {
        await #expect(processExitsWith: .success) { starve(.uring) }
    }

    @Test func refusedRingFallsBackToEpollAndSaysWhy() async {
        await #expect(processExitsWith: .success) {
            setenv("OPENCLAW_NO_URING", "1", 1)
            for backend in [UInt32(CLAW_BACKEND_AUTO), UInt32(CLAW_BACKEND_URING)] {
                var options = claw_loop_options(backend: backend, buffer_bytes: 4096, buffer_count: 8, reserved: 0)
                var loop: OpaquePointer?
                var why: Int32 = 0
                precondition(claw_loop_create(&options, &loop, &why) == 0)
                precondition(claw_loop_backend(loop) == UInt32(CLAW_BACKEND_EPOLL))
                precondition(why == ENOSYS)
                claw_loop_destroy(loop)
            }
        }
    }
}

private func starve(_ backend: Backend) {
    let bench = Bench(backend), listener = Listener()
    let peers = (0..<3).map { _ in Peer(connectingTo: listener.address) }
    precondition(claw_accept_start(bench.loop, listener.fd, 1) == 0)
    // Room for exactly one more descriptor.
    let lowest = dup(0)
    close(lowest)
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = rlim_t(lowest + 1)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)

    let cpu = threadCPU(), began = claw_monotonic_ns()
    var accepted: [Int32] = [], refusals = 0
    while claw_monotonic_ns() - began < 350_000_000 {
        for event in bench.wait(milliseconds: 50) {
            if event.result >= 0 { accepted.append(event.result) }
            else {
                precondition(event.result == -EMFILE, "was \(event.result)")
                refusals += 1
            }
        }
    }
    precondition(accepted.count == 1, "one fits, was \(accepted.count)")
    precondition((1...5).contains(refusals), "one refusal each 100 ms, was \(refusals)")
    precondition(threadCPU() - cpu < 100_000_000, "no busy loop: \(threadCPU() - cpu) ns")

    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let all = bench.until { accepted.count + bench.events.filter { $0.result >= 0 }.count == 3 }
    precondition(all, "accepting resumes by itself")
    _ = peers
}
