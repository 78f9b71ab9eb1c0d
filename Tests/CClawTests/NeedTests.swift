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
                demand(claw_loop_create(&options, &loop, &why) == 0)
                demand(claw_loop_backend(loop) == UInt32(CLAW_BACKEND_EPOLL))
                demand(why == ENOSYS)
                claw_loop_destroy(loop)
            }
        }
    }
}

/// What fails in the other process shows here as its exit status: the line.
private func demand(_ holds: Bool, line: Int32 = #line) {
    if !holds { exit(line) }
}

private func starve(_ backend: Backend) {
    let bench = Bench(backend), listener = Listener()
    let peers = (0..<3).map { _ in Peer(connectingTo: listener.address) }
    demand(claw_accept_start(bench.loop, listener.fd, 1) == 0)
    // Every number below three is taken, whatever else this process has open.
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = 3
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)

    let cpu = threadCPU(), began = claw_monotonic_ns()
    var accepted: [Int32] = [], refusals = 0
    while claw_monotonic_ns() - began < 350_000_000 {
        for event in bench.wait(milliseconds: 50) {
            if event.result >= 0 { accepted.append(event.result) }
            else {
                demand(event.result == -EMFILE)
                refusals += 1
            }
        }
    }
    demand(accepted.isEmpty)
    demand((1...5).contains(refusals))
    demand(threadCPU() - cpu < 100_000_000)

    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let all = bench.until { bench.events.filter { $0.result >= 0 }.count == 3 }
    demand(all)
    _ = peers
}
