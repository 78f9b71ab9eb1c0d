// Endpoints that the plan in force does not name any more: discovery takes them away while the process lives, so their connections must not wait for requests
// that never come. What runs on them goes on, on the plan it began with.

extension Worker {
    /// Closes idle connections of endpoints that have gone. Called when another plan is in force.
    func leaveGoneEndpoints() {
        for place in 0..<Registry.endpointsMax {
            guard let state = endpoints[place], state.pointee.open > 0, !plan.pointee.names(place) else { continue }
            // Closing a connection takes it out of its list.
            for link in state.pointee.idle where links.base[Int(link)].state == .idle { closeLink(link, reset: false) }
            for link in state.pointee.sessions {
                links.base[Int(link)].isClosing = true
                if links.base[Int(link)].streams == 0 { closeLink(link, reset: false) }
            }
        }
    }
}
