// What is decided for each attempt beside the route: may it go, has its key to wait, what is tried next, what does its answer say of limits; and the walk
// through a prompt where a route asks for that. Most of it is over words that workers share, made here as the gateway makes them.
import Benchmark
import ClawConfig
@_spi(Benchmarks) import ClawEngine
import ClawPolicy
import Glibc
import Support
import Synchronization

private func words(_ count: Int) -> Words {
    guard let memory = calloc(count, 8) else { fatalError("no memory") }
    return memory.assumingMemoryBound(to: Atomic<UInt64>.self)
}

func decisions() {
    let start: UInt64 = 1 << 50
    let breaker = Breaker(words(Breaker.words)), settings = BreakerSettings()
    measure("breaker, admit and record", operations: 500) { times in
        for at in 0..<times {
            let now = start &+ UInt64(at) &* 1_000_000
            guard case .pass = breaker.admit(now: now, settings), breaker.record(success: true, now: now, settings) == .none else { fatalError("not closed") }
        }
    }
    let well = Cooldowns(words(Cooldowns.words)), cooling = Cooldowns(words(Cooldowns.words))
    for model in 1...UInt64(Cooldowns.slots) { _ = cooling.cool(model: model, class: .rateLimited, told: 60_000_000_000, now: start, CooldownSettings(), random: 0) }
    measure("cool-down, key that is well", operations: 2000) { times in
        for at in 0..<times where well.until(model: UInt64(at) | 1, now: start) != nil { fatalError("it cools") }
    }
    measure("cool-down, all slots taken", operations: 500) { times in
        for _ in 0..<times where cooling.until(model: UInt64(Cooldowns.slots), now: start) == nil { fatalError("it does not cool") }
    }
    let names = ["content-type", "date", "server", "content-length", "x-request-id", "openai-processing-ms", "cf-ray", "access-control-expose-headers", "strict-transport-security", "via"].map { Array($0.utf8) }
    measure("rate signals, a field that is none", operations: 200) { times in
        for _ in 0..<times / names.count {
            for name in names where name.withUnsafeBytes({ RateSignals.concerns($0) }) { fatalError("no signal") }
        }
    }
    let name = Array("x-ratelimit-remaining-tokens".utf8), value = Array("149984".utf8)
    measure("rate signals, a field that is one", operations: 200) { times in
        var signals = RateSignals()
        for _ in 0..<times { name.withUnsafeBytes { name in value.withUnsafeBytes { signals.field(name: name, value: $0, wall: start) } } }
        guard signals.tokens?.remaining == 149_984 else { fatalError("another figure") }
    }
    let prompt = Array(#"{"model":"gpt-4o","messages":[{"role":"system","content":"Answer briefly."},{"role":"user","content":""#.utf8)
        + Array(String(repeating: "What does the report say about the harvest of this year, and why is it less? ", count: 130).utf8) + Array(#""}]}"#.utf8)
    measure("prompt scan, 10 kB", operations: 2) { times in
        for _ in 0..<times {
            var reading = PromptReading([.language, .tokens, .prefix])
            guard prompt.withUnsafeBytes({ reading.read($0) }), reading.tokens.value > 1000 else { fatalError("not read") }
        }
    }
    let ladder = ladder()
    measure("ladder, overloaded to the next of 3", operations: 100) { guard ladder.walk($0) == $0 else { fatalError("nothing further") } }
}

/// Three upstreams and two fallbacks, and retries enough.
private func ladder() -> EngineBenchmarks.Ladder {
    var text = "upstreams:\n"
    for name in ["a", "b", "c", "d", "e"] { text += "  \(name): { type: openai, base_url: \"http://127.0.0.1:7001/v1\", api_key: sk-benchmark-\(name), models: [gpt-4o] }\n" }
    text += "routes:\n  - { id: r, strategy: { type: failover, upstreams: [a, b, c] }, fallback: { upstreams: [d, e] }, retries: { min_per_second: 1000 } }\n"
    let load = loadConfiguration(text: text, name: "benchmark.yaml", environment: [:])
    guard let configuration = load.configuration else { fatalError("the configuration is refused: \(load.issues)") }
    var request = DescribedRequest()
    request.body = Array(#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}"#.utf8)
    do { return try EngineBenchmarks.Ladder(configuration, request) } catch { fatalError("\(error)") }
}
