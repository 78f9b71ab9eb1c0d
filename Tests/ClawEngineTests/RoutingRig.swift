import CClaw
import ClawConfig
import ClawWire
import Testing

@testable import ClawEngine

/// A plan and somebody who describes requests to it, over state that a test may write to.
final class RoutingRig {
    let shared = Shared()
    let registry = Registry()
    private(set) var owner: PlanOwner
    private(set) var preview: RequestPreview

    init(_ configuration: Configuration) throws {
        owner = try PlanOwner(configuration, serial: 1, workers: 1, registry: registry)
        claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
        preview = try RequestPreview(owner: owner, shared: shared)
    }

    convenience init(_ text: String) throws { try self.init(Self.load(text)) }

    static func load(_ text: String) throws -> Configuration {
        let load = loadConfiguration(text: text, name: "routing.yaml", environment: [:])
        return try #require(load.configuration, "\(load.issues.map(\.description).joined(separator: "\n"))")
    }

    /// Another configuration over the same state.
    func reload(_ text: String) throws {
        owner = try PlanOwner(Self.load(text), serial: 2, workers: 1, registry: registry)
        claw_word_store(shared.plan, UInt64(UInt(bitPattern: owner.ref)))
        preview = try RequestPreview(owner: owner, shared: shared)
    }

    var plan: PlanRef { owner.ref }
    var worker: Worker { preview.worker }
    var now: UInt64 {
        get { worker.now }
        set { worker.now = newValue }
    }

    static func request(_ body: String = #"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#, path: String = "/v1/chat/completions", method: String = "POST", headers: [(String, String)] = [], key: String? = nil)
        -> DescribedRequest
    {
        var out = DescribedRequest()
        out.method = method
        out.path = path
        out.headers = headers
        out.body = Array(body.utf8)
        out.keyID = key
        return out
    }

    /// The ids of the matched route's candidates, `upstream` or `upstream/model`; `real`: turns are taken and counted.
    func candidates(_ request: DescribedRequest = request(), real: Bool = true) throws -> [String] {
        let refusal = preview.take(request)
        try #require(refusal == nil, "\(refusal.map { "\($0)" } ?? "")")
        worker.view.pointee.isDescribed = !real
        let found = try #require(worker.firstRoute())
        guard case .route(let own) = worker.room(found) else { return ["too long"] }
        let count = worker.choose(plan.pointee.routes[own])
        return (0..<count).map { at in
            let candidate = worker.view.pointee.choice.chosen[at]
            let name = plan.pointee.upstreams[Int(candidate.upstream)].pointee.name.string
            return candidate.hasModel ? "\(name)/\(candidate.model.id.string)" : name
        }
    }

    func upstream(_ name: String) -> UnsafeMutablePointer<PlanUpstream> {
        let at = (0..<plan.pointee.upstreams.count).first { plan.pointee.upstreams[$0].pointee.name.string == name }
        return plan.pointee.upstreams[at ?? 0]
    }

    /// Opens its breaker for as long as the settings say.
    func open(_ name: String) {
        let upstream = upstream(name), breaker = shared.outlook.breaker(upstream.pointee.place, .model)
        for _ in 0..<upstream.pointee.breaker.consecutiveFailures { _ = breaker.record(success: false, now: now, upstream.pointee.breaker) }
    }

    func explain(_ request: DescribedRequest) throws -> Explanation { try Explanation.make(request, owner, shared) }
}
