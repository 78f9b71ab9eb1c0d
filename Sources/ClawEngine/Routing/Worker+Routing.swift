// Routing: the first route whose conditions all hold; for the routes of profiles, the profile that has room for the request.
import CClaw
import ClawConfig
import ClawPolicy
import ClawWire

extension Worker {
    // MARK: match

    func matchRoute(_ exchange: UnsafeMutablePointer<Exchange>) -> Int? {
        look(at: exchange)
        return firstRoute()
    }

    /// The first route that takes the request in `view`.
    func firstRoute() -> Int? {
        let routes = view.pointee.plan.pointee.routes
        var search = RouteSearch(view, .all)
        while let at = search.next(view) {
            if routes[at].pointee.takesAll || view.pointee.matches(routes[at]) { return at }
        }
        return nil
    }

    /// Before the body is there: is there a route whose other conditions hold?
    func mightRoute(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        look(at: exchange)
        let routes = exchange.pointee.plan.pointee.routes
        var search = RouteSearch(view, .head)
        while let at = search.next(view) {
            if view.pointee.headMismatch(routes[at]).isNone { return true }
        }
        return false
    }

    /// Paths such as /api/chat may as well be a plain API's: such a request is one to a model only where the first route that could take it has a
    /// model upstream.
    func leadsToModels(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        look(at: exchange)
        // Whoever asks without a valid key is refused in the words of the API asked for.
        view.pointee.callerIsOpen = exchange.pointee.caller < 0
        let plan = exchange.pointee.plan
        var search = RouteSearch(view, .head)
        while let at = search.next(view) {
            let route = plan.pointee.routes[at]
            guard view.pointee.headMismatch(route).isNone else { continue }
            for target in 0..<route.pointee.targets.count where plan.pointee.upstreams[route.pointee.targets[target].pointee.upstream].pointee.isModel { return true }
            if !route.pointee.needsBody { return false }
        }
        return true
    }

    /// Decodes a part of the query into `scratch`; how long it is there, nil when it does not fit.
    func decodeQuery(_ query: UnsafeRawBufferPointer, _ from: Int, _ to: Int) -> Int? { QueryParameters.decode(query, from, to, scratch) }

    // MARK: profiles

    enum Room {
        /// The route to run on.
        case route(Int)
        /// No profile has room for so many tokens; the largest there is.
        case none(tokens: Int64, largest: Int64)
    }

    /// Where the matched route is a profile's: the route of the profile whose window the request fits into, by the estimate of its prompt and what it asks
    /// for; the next in file order where its own is too small. `view` describes the request.
    func room(_ matched: Int) -> Room {
        let plan = view.pointee.plan
        let first = Int(plan.pointee.routes[matched].pointee.profile)
        guard first >= 0 else { return .route(matched) }
        let profiles = plan.pointee.profiles
        guard plan.pointee.reading.wantsTokens, profiles[first].pointee.contextTokensMax > 0, view.pointee.bodyIsJSON else { return .route(profiles[first].pointee.route) }
        view.pointee.readPrompt()
        let tokens = Int64(view.pointee.prompt.tokens) &+ view.pointee.outputTokensAsked()
        var largest: Int64 = 0
        for step in 0..<profiles.count {
            let profile = profiles[(first + step) % profiles.count]
            if profile.pointee.contextTokensMax == 0 || tokens <= profile.pointee.contextTokensMax { return .route(profile.pointee.route) }
            largest = max(largest, profile.pointee.contextTokensMax)
        }
        return .none(tokens: tokens, largest: largest)
    }
}
