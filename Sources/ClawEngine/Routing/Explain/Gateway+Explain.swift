import ClawConfig

extension Gateway {
    /// Where a described request would go on the newest plan, with what is known of upstreams now. On the admin thread alone: plans have one spare lane.
    func explain(_ request: DescribedRequest) throws(PlanFailure) -> Explanation {
        let owner = plans.withLock { $0.owners[$0.owners.count - 1] }
        return try Explanation.make(request, owner, shared)
    }
}
