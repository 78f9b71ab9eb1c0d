import CClaw
import Glibc
import Testing

/// Buffers, addresses, and what the operating system is asked for.
@Suite struct SystemTests {
    @Test func mostRecentlyReleasedBufferGoesOutFirst() {
        let bench = Bench(.epoll, bufferBytes: 4096, buffers: 3)
        let loop = bench.loop
        let a = claw_buffer_take(loop), b = claw_buffer_take(loop), c = claw_buffer_take(loop)
        #expect(Set([a, b, c]) == [0, 1, 2])
        #expect(claw_buffer_take(loop) == CLAW_NO_BUFFER)
        #expect(claw_buffers_in_use(loop) == 3)
        claw_buffer_release(loop, b)
        claw_buffer_release(loop, a)
        #expect(claw_buffer_take(loop) == a)
        #expect(claw_buffer_take(loop) == b)
        for buffer in [a, b, c] { claw_buffer_release(loop, buffer) }
        claw_buffer_release(loop, c)
        claw_buffer_release(loop, 77)
        #expect(claw_buffers_in_use(loop) == 0, "a release too many changes nothing")
    }

    @Test(arguments: [
        ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("::1", "::1"), ("[::1]", "::1"),
        ("[2001:db8::7]", "2001:db8::7"), ("unix:/run/x.sock", "unix:/run/x.sock"),
    ])
    func addressLiteralsAreParsedAndWritten(_ text: String, _ written: String) {
        var address = claw_address()
        #expect(claw_address_parse(text, 8443, &address) == 0)
        var into = [CChar](repeating: 1, count: 128)
        let length = claw_address_text(&address, &into, 128)
        #expect(String(decoding: into[..<Int(max(length, 0))].map { UInt8($0) }, as: UTF8.self) == written)
        #expect(claw_address_port(&address) == (text.hasPrefix("unix") ? 0 : 8443))
        #expect(claw_address_text(&address, &into, Int(length)) < 0, "no room for the terminator")
    }

    @Test(arguments: ["", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "1.2.3.4.5", "[127.0.0.1]", "[::1", "::1]", "[]",
                      "unix:", "fe80::1%eth0", "127.0.0.1:80", " 127.0.0.1"])
    func whatIsNoLiteralIsRefused(_ text: String) {
        var address = claw_address()
        #expect(claw_address_parse(text, 80, &address) == -EINVAL)
    }

    @Test func unixPathTooLongIsRefused() {
        var address = claw_address()
        #expect(claw_address_parse("unix:/" + String(repeating: "a", count: 106), 0, &address) == 0)
        #expect(claw_address_parse("unix:/" + String(repeating: "a", count: 107), 0, &address) == -EINVAL)
    }

    @Test func portInUseIsRefusedUnlessShared() {
        var address = claw_address()
        claw_address_parse("127.0.0.1", 0, &address)
        let first = claw_listen(&address, 16, 1)
        claw_local_address(first, &address)
        let second = claw_listen(&address, 16, 1)
        #expect(second >= 0)
        #expect(claw_listen(&address, 16, 0) == -EADDRINUSE)
        claw_os_close(first)
        claw_os_close(second)
    }

    @Test func deadSocketFileIsReplacedAndALiveOneIsNot() {
        let path = "/tmp/claw-dead-\(getpid()).sock"
        defer { unlink(path) }
        var address = claw_address()
        claw_address_parse("unix:" + path, 0, &address)
        let first = claw_listen(&address, 16, 0)
        #expect(first >= 0)
        #expect(claw_listen(&address, 16, 0) == -EADDRINUSE)
        claw_os_close(first)
        let second = claw_listen(&address, 16, 0)
        #expect(second >= 0)
        claw_os_close(second)
    }

    @Test func threadsHaveTheirNameAndOneCoreWhenPinned() {
        var thread: UInt64 = 0
        let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { _ in
            var name = [UInt8](repeating: 0, count: 32)
            let comm = open("/proc/thread-self/comm", O_RDONLY)
            let length = read(comm, &name, 32)
            close(comm)
            let named = Array(name.prefix(max(length, 0))) == Array("a-long-thread-n\n".utf8)
            let pinned = claw_thread_pin(5) == 0 && claw_cores() == 1
            return UnsafeMutableRawPointer(bitPattern: named && pinned ? 1 : 2)
        }
        #expect(claw_cores() >= 1)
        #expect(claw_thread_start("a-long-thread-name", body, nil, &thread) == 0)
        var result: UnsafeMutableRawPointer?
        pthread_join(pthread_t(thread), &result)
        #expect(Int(bitPattern: result) == 1)
    }

    @Test func processKnowsItself() {
        var process = claw_process()
        #expect(claw_process_read(&process) == 0)
        #expect(process.resident > 1 << 20)
        #expect(process.virtual_bytes > process.resident)
        #expect(process.threads >= 1)
        #expect(process.descriptors >= 3 && process.descriptors <= process.descriptors_max)
        #expect(process.cpu_user_ns + process.cpu_system_ns > 0)
        let age = Double(claw_realtime_ns()) / 1e9 - process.start_time
        #expect(age > -1 && age < 86_400)
        #expect(claw_descriptors_raise() > 0)
    }

    @Test func randomBytesDiffer() {
        var a = [UInt8](repeating: 0, count: 300), b = a
        #expect(claw_random(&a, 300) == 0)
        #expect(claw_random(&b, 300) == 0)
        #expect(a != b)
    }

    @Test func signalsAreWaitedForAndChildrenReported() async {
        await #expect(processExitsWith: .success) {
            var held = claw_signals_block(1) == 0
            held = held && claw_signals_wait(10_000_000) == 0
            // Only the child has one thread, so only there a signal surely meets one that blocks it.
            let child = claw_fork()
            if child == 0 {
                claw_die_with_parent(SIGKILL)
                _exit(claw_signals_wait(10_000_000_000) == SIGTERM ? 7 : 8)
            }
            var status: Int32 = 0
            claw_kill(child, SIGTERM)
            held = held && claw_wait_child(child, &status) == child && status == 7
            let killed = claw_fork()
            if killed == 0 { while true { pause() } }
            claw_kill(killed, SIGKILL)
            held = held && claw_wait_child(killed, &status) == killed && status == 128 + SIGKILL
            exit(held ? 0 : 1)
        }
    }
}
