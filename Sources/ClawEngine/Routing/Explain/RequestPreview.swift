// A request that somebody describes, taken as far as routing takes a real one: its head is written and parsed, its path, surface and caller found, its body
// scanned, by the same code. It has a worker to itself that never runs and no connection to anybody; it takes no turn and counts nothing, so that asking
// changes no answer.
import CClaw
import ClawConfig
import ClawWire
import Glibc

final class RequestPreview {
    /// What would be answered at once.
    struct Refusal {
        var kind: FailureKind
        var message: String
    }

    let owner: PlanOwner
    let worker: Worker
    let exchange: UnsafeMutablePointer<Exchange>
    /// Its slot.
    private let place: Int
    private let connection: UInt32
    private var head = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var body = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    init(owner: PlanOwner, shared: Shared) throws(PlanFailure) {
        self.owner = owner
        var options = WorkerOptions()
        options.index = owner.spareLane
        options.backend = UInt32(CLAW_BACKEND_PLAYED)
        options.connectionsMax = 16
        options.bufferCount = 16
        options.logRingBytes = 1 << 16
        options.seriesMax = 64
        worker = try Worker(options: options, shared: shared, instance: 1)
        worker.now = claw_monotonic_ns()
        guard let connection = worker.connections.take(), let slot = worker.exchanges.take() else { throw PlanFailure(description: "no slot") }
        (worker.connections.base + connection.index).initialize(to: Connection())
        exchange = worker.exchanges.base + slot.index
        place = slot.index
        exchange.initialize(to: worker.blankExchange(place, owner.ref))
        self.connection = UInt32(connection.index)
        worker.view.pointee.isDescribed = true
    }

    deinit {
        exchange.pointee.pathMemory?.deallocate()
        head.deallocate()
        body.deallocate()
    }

    /// Takes the request in, in place of any before it; nil: `worker.view` describes it, and it can be routed.
    func take(_ request: DescribedRequest) -> Refusal? {
        exchange.pointee.pathMemory?.deallocate()
        head.deallocate()
        body.deallocate()
        (head, body) = (UnsafeMutableRawBufferPointer(start: nil, count: 0), UnsafeMutableRawBufferPointer(start: nil, count: 0))
        exchange.pointee = worker.blankExchange(place, owner.ref)
        exchange.pointee.connection = connection
        worker.connections.base[Int(connection)].listener = 0
        guard request.headers.allSatisfy({ !$0.name.isEmpty && !Self.breaksLines($0.name) && !Self.breaksLines($0.value) }), !Self.breaksLines(request.path), !request.path.contains(" "), !Self.breaksLines(request.method), !request.method.contains(" ") else {
            return Refusal(kind: .badRequest, message: "a method, path or header with a line break in it")
        }
        if let name = request.listener {
            guard let place = owner.configuration.server.places.firstIndex(where: { $0.name == name }) else { return Refusal(kind: .badRequest, message: "no listener has the name \(name)") }
            worker.connections.base[Int(exchange.pointee.connection)].listener = UInt8(truncatingIfNeeded: place)
        }
        var text = "\(request.method) \(request.path) HTTP/1.1\r\n"
        if !request.headers.contains(where: { $0.name.lowercased() == "host" }) { text += "host: localhost\r\n" }
        for header in request.headers where !["content-length", "transfer-encoding", "connection", "upgrade"].contains(header.name.lowercased()) { text += "\(header.name): \(header.value)\r\n" }
        text += "\r\n"
        head = .allocate(byteCount: text.utf8.count, alignment: 16)
        head.copyBytes(from: text.utf8)
        let plan = owner.ref
        var parser = RequestParser()
        switch parser.parse(UnsafeRawBufferPointer(head), limits: plan.pointee.headLimits, into: worker.requestHead) {
        case .complete: break
        case .needMore: return Refusal(kind: .badRequest, message: "the head is not whole")
        case .refused(let refusal): return Refusal(kind: .badRequest, message: "the head is refused: \(refusal.reason)")
        }
        let parsed = worker.requestHead
        worker.headOwner = UInt64(exchange.pointee.generation) << 32
        exchange.pointee.headBase = UnsafePointer(head.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
        exchange.pointee.headLength = UInt32(head.count)
        exchange.pointee.method = parsed.method
        if parsed.hostProblem != .none { return Refusal(kind: .badHost, message: "the host is not a valid authority") }
        switch parsed.method {
        case .other: return Refusal(kind: .methodUnknown, message: "unknown method")
        case .trace, .connect: return Refusal(kind: .methodNotAllowed, message: "this method is never served")
        default: break
        }
        guard worker.takePath(exchange) else { return Refusal(kind: .badRequest, message: "the path has no one normal form") }
        return takeBody(request)
    }

    private func takeBody(_ request: DescribedRequest) -> Refusal? {
        let plan = owner.ref
        exchange.pointee.surface = worker.surface(of: exchange)
        if let id = request.keyID {
            guard let at = (0..<plan.pointee.callers.count).first(where: { plan.pointee.callers[$0].pointee.id.string == id }) else {
                return Refusal(kind: .invalidKey, message: "none of security.keys has the id \(id)")
            }
            exchange.pointee.caller = Int32(at)
        } else {
            worker.identifyCaller(exchange)
        }
        if exchange.pointee.surface.isForeign, !worker.leadsToModels(exchange) {
            exchange.pointee.surface = .plain
            exchange.pointee.requestedModel = UnsafeRawBufferPointer(start: nil, count: 0)
        }
        if plan.pointee.callers.count > 0, exchange.pointee.caller < 0 {
            return Refusal(kind: .invalidKey, message: "the request has no key that security.keys knows; key_id (--key-id) asks as one of them")
        }
        guard request.body.count <= plan.pointee.bodyBytesMax else { return Refusal(kind: .bodyTooLarge, message: "\(request.body.count) bytes") }
        body = .allocate(byteCount: max(request.body.count, 1), alignment: 16)
        body.copyBytes(from: request.body)
        exchange.pointee.bodyBase = body.baseAddress?.assumingMemoryBound(to: UInt8.self)
        exchange.pointee.bodyLength = request.body.count
        exchange.pointee.bodyIsComplete = true
        let progress = worker.scanBody(exchange)
        if worker.isModelRequest(exchange) {
            if case .refused(let refusal) = progress { return Refusal(kind: .badJSON, message: "the body is not valid JSON: \(refusal)") }
            switch worker.takeModelBody(exchange) {
            case .taken: break
            case .noObject: return Refusal(kind: .badJSON, message: "the body is not a JSON object")
            case .badModel: return Refusal(kind: .badJSON, message: "model must be a string")
            case .badStream: return Refusal(kind: .badJSON, message: "stream must be true or false")
            }
        }
        worker.look(at: exchange)
        return nil
    }

    private static func breaksLines(_ text: String) -> Bool { text.utf8.contains { $0 < 0x20 && $0 != 9 || $0 == 0x7F } }
}
