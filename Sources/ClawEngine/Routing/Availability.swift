// Whether an upstream could take a request now, without taking anything of it: what puts candidates that cannot behind those that can. At attempt time each
// is asked again, and then for good.
import CClaw
import ClawPolicy

enum Availability: Equatable {
    enum Reason: UInt8 {
        case breakerOpen, keysCooling, noKeyForModel, unhealthy
        static let words = ["breaker_open", "keys_cooling", "no_key_for_model", "unhealthy"]
        var word: String { Self.words[Int(rawValue)] }
    }
    case ready
    /// Monotonic; `.max`: nobody knows.
    case until(UInt64, Reason)

    @inline(__always)
    var isReady: Bool { self == .ready }
}

extension Worker {
    /// `model`: hash of the served model's id (`modelHash`). What this worker's clock says is `now`.
    func availability(_ upstream: UnsafeMutablePointer<PlanUpstream>, model: UInt64, _ traffic: TrafficClass) -> Availability {
        let outlook = shared.outlook
        if case .refused(let until) = outlook.breaker(upstream.pointee.place, traffic).peek(now: now, upstream.pointee.breaker) { return .until(until, .breakerOpen) }
        if upstream.pointee.keys.count > 0 {
            let keys = keys(upstream, model: model)
            if keys != .ready { return keys }
        }
        return endpoints(upstream)
    }

    /// At least one key that is for the model does not cool.
    private func keys(_ upstream: UnsafeMutablePointer<PlanUpstream>, model: UInt64) -> Availability {
        var soonest = UInt64.max
        var isAny = false
        for at in 0..<upstream.pointee.keys.count {
            let key = upstream.pointee.keys[at]
            if !key.pointee.serves(model) { continue }
            isAny = true
            if upstream.pointee.cooldown.max == 0 { return .ready }
            guard let cooling = shared.outlook.cooldowns(key.pointee.place).until(model: model, now: now) else { return .ready }
            soonest = min(soonest, cooling.until)
        }
        return .until(soonest, isAny ? .keysCooling : .noKeyForModel)
    }

    /// At least one endpoint is healthy.
    private func endpoints(_ upstream: UnsafeMutablePointer<PlanUpstream>) -> Availability {
        var soonest = UInt64.max
        for at in 0..<upstream.pointee.endpoints.count {
            let outlier = shared.outlook.outlier(upstream.pointee.endpoints[at].pointee.place)
            if outlier.isUsable(now: now) { return .ready }
            if !outlier.isUnhealthy { soonest = min(soonest, outlier.ejectedUntil) }
        }
        return .until(soonest, .unhealthy)
    }
}

extension PlanKey {
    private static let noModel = Outlook.hash("")

    /// Whether it may be used for the model with this hash; without a model, any key will do.
    func serves(_ model: UInt64) -> Bool {
        if models.count == 0 || model == Self.noModel { return true }
        for at in 0..<models.count where models[at].pointee == model { return true }
        return false
    }
}
