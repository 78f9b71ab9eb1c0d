// What went wrong with a request, whose fault it was, and what follows from it. One table maps each kind to the answer's status and code, the class
// of spec/resilience.md, and whether anything else may be tried.
import ClawDialect
import ClawPolicy

enum Origin: UInt8 { case client, upstream, gateway }

/// Classes of upstream outcome (spec/resilience.md); the raw value is the label's place in `ErrorClass.names`.
enum ErrorClass: UInt8 {
    case none, rateLimited, overloaded, timeout, network, serverError, auth, modelMissing, badRequest, clientGone, tls, malformed
    case contextTooLong, contentFiltered
    /// Cancelled because the other of two attempts answered first.
    case hedgeLost
    static let names: [StaticString] = [
        "none", "rate_limited", "overloaded", "timeout", "network", "server_error", "auth", "model_missing", "bad_request", "client_gone", "network",
        "server_error", "context_too_long", "content_filtered", "hedge_lost",
    ]
    var name: StaticString { Self.names[Int(rawValue)] }

    /// Whose steps a route can declare; nil: the answer is the client's.
    var ladder: LadderClass? {
        switch self {
        case .rateLimited: .rateLimited
        case .overloaded: .overloaded
        case .timeout: .timeout
        case .network, .tls: .network
        case .serverError, .malformed: .serverError
        case .auth: .auth
        case .modelMissing: .modelMissing
        case .contextTooLong: .contextTooLong
        case .contentFiltered: .contentFiltered
        case .none, .badRequest, .clientGone, .hedgeLost: nil
        }
    }

    /// Failures that an upstream's breaker counts; everything else that is an answer counts as good.
    var isBreakers: Bool {
        switch self {
        case .overloaded, .timeout, .network, .tls, .serverError, .malformed: true
        default: false
        }
    }
}

enum FailureKind: UInt8, CaseIterable {
    case badRequest, badHost, headTooLarge, targetTooLong, bodyTooLarge, headerTimeout, bodyTimeout, methodNotAllowed, methodUnknown
    case expectationFailed, versionNotSupported, codingUnknown, loopDetected, badJSON, modelRequired, modelNotFound, notFound
    case bodyMemoryExhausted, upstreamsExhausted, upstreamConnect, upstreamDNS, upstreamTLS, upstreamProtocol, upstreamReset
    case upstreamMalformed, upstreamTruncated, upstreamStatus, upstreamInBand, connectTimeout, firstByteTimeout, idleTimeout, totalTimeout
    case clientGone, clientWriteTimeout, draining, upstreamPending, buffersExhausted
    case upstreamCannotSwitch, upgradeNotAllowed, unsupported, answerTooLarge, noCredentials, upstreamsCooling, badDeadline
    case invalidKey, contextTooLong

    struct Row {
        var status: UInt16
        var code: StaticString
        var type: StaticString
        var origin: Origin
        var errorClass: ErrorClass
        /// The same in the words of the dialects.
        var problem: ProblemClass {
            switch errorClass {
            case .rateLimited: .rateLimited
            case .overloaded: .overloaded
            case .timeout: .timeout
            case .auth: .auth
            case .modelMissing: .modelMissing
            case .contextTooLong: .contextTooLong
            case .contentFiltered: .contentFiltered
            case .badRequest, .clientGone, .hedgeLost, .none: .badRequest
            case .network, .serverError, .tls, .malformed: status == 503 ? .overloaded : .serverError
            }
        }
    }

    var row: Row {
        switch self {
        case .badRequest: Row(status: 400, code: "bad_request", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .badHost: Row(status: 400, code: "bad_host", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .headTooLarge: Row(status: 431, code: "request_head_too_large", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .targetTooLong: Row(status: 414, code: "request_target_too_long", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .bodyTooLarge: Row(status: 413, code: "request_too_large", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .headerTimeout: Row(status: 408, code: "request_head_timeout", type: "invalid_request_error", origin: .client, errorClass: .timeout)
        case .bodyTimeout: Row(status: 408, code: "request_body_timeout", type: "invalid_request_error", origin: .client, errorClass: .timeout)
        case .methodNotAllowed: Row(status: 405, code: "method_not_allowed", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .methodUnknown: Row(status: 501, code: "method_not_implemented", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .expectationFailed: Row(status: 417, code: "expectation_failed", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .versionNotSupported: Row(status: 505, code: "http_version_not_supported", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .codingUnknown: Row(status: 501, code: "transfer_coding_not_implemented", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .loopDetected: Row(status: 508, code: "loop_detected", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .badJSON: Row(status: 400, code: "invalid_json", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .modelRequired: Row(status: 400, code: "missing_required_parameter", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .modelNotFound: Row(status: 404, code: "model_not_found", type: "invalid_request_error", origin: .client, errorClass: .modelMissing)
        case .notFound: Row(status: 404, code: "route_not_found", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .bodyMemoryExhausted: Row(status: 503, code: "body_memory_exhausted", type: "server_error", origin: .gateway, errorClass: .overloaded)
        case .upstreamsExhausted: Row(status: 503, code: "no_upstream_available", type: "server_error", origin: .upstream, errorClass: .network)
        case .upstreamConnect: Row(status: 502, code: "upstream_unreachable", type: "server_error", origin: .upstream, errorClass: .network)
        case .upstreamDNS: Row(status: 502, code: "upstream_name_not_resolved", type: "server_error", origin: .upstream, errorClass: .network)
        case .upstreamTLS: Row(status: 502, code: "upstream_tls", type: "server_error", origin: .upstream, errorClass: .tls)
        case .upstreamProtocol: Row(status: 502, code: "upstream_protocol", type: "server_error", origin: .upstream, errorClass: .network)
        case .upstreamReset: Row(status: 502, code: "upstream_connection_lost", type: "server_error", origin: .upstream, errorClass: .network)
        case .upstreamMalformed: Row(status: 502, code: "upstream_malformed_answer", type: "server_error", origin: .upstream, errorClass: .malformed)
        case .upstreamTruncated: Row(status: 502, code: "upstream_truncated", type: "server_error", origin: .upstream, errorClass: .network)
        case .upstreamStatus: Row(status: 502, code: "upstream_error", type: "server_error", origin: .upstream, errorClass: .serverError)
        case .upstreamInBand: Row(status: 502, code: "upstream_error", type: "server_error", origin: .upstream, errorClass: .serverError)
        case .connectTimeout: Row(status: 504, code: "upstream_connect_timeout", type: "server_error", origin: .upstream, errorClass: .timeout)
        case .firstByteTimeout: Row(status: 504, code: "upstream_timeout", type: "server_error", origin: .upstream, errorClass: .timeout)
        case .idleTimeout: Row(status: 504, code: "upstream_idle_timeout", type: "server_error", origin: .upstream, errorClass: .timeout)
        case .totalTimeout: Row(status: 504, code: "upstream_timeout", type: "server_error", origin: .upstream, errorClass: .timeout)
        case .clientGone: Row(status: 499, code: "client_closed_request", type: "invalid_request_error", origin: .client, errorClass: .clientGone)
        case .clientWriteTimeout: Row(status: 499, code: "client_write_timeout", type: "invalid_request_error", origin: .client, errorClass: .clientGone)
        case .draining: Row(status: 503, code: "gateway_draining", type: "server_error", origin: .gateway, errorClass: .overloaded)
        case .upstreamPending: Row(status: 503, code: "upstream_queue_full", type: "server_error", origin: .gateway, errorClass: .overloaded)
        case .upgradeNotAllowed: Row(status: 501, code: "protocol_not_allowed", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .upstreamCannotSwitch: Row(status: 502, code: "upstream_cannot_switch", type: "server_error", origin: .upstream, errorClass: .badRequest)
        case .unsupported: Row(status: 400, code: "unsupported_parameter", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .answerTooLarge: Row(status: 502, code: "upstream_answer_too_large", type: "server_error", origin: .upstream, errorClass: .malformed)
        case .upstreamsCooling: Row(status: 429, code: "no_upstream_available", type: "rate_limit_error", origin: .upstream, errorClass: .rateLimited)
        case .badDeadline: Row(status: 400, code: "bad_deadline", type: "invalid_request_error", origin: .client, errorClass: .badRequest)
        case .invalidKey: Row(status: 401, code: "invalid_api_key", type: "invalid_request_error", origin: .client, errorClass: .auth)
        case .contextTooLong: Row(status: 400, code: "context_length_exceeded", type: "invalid_request_error", origin: .client, errorClass: .contextTooLong)
        case .noCredentials: Row(status: 503, code: "upstream_credentials_missing", type: "server_error", origin: .gateway, errorClass: .auth)
        case .buffersExhausted: Row(status: 503, code: "buffers_exhausted", type: "server_error", origin: .gateway, errorClass: .overloaded)
        }
    }

    /// May something else be tried after this, as long as nothing was sent to the client?
    var movesOn: Bool {
        switch self {
        case .upstreamConnect, .upstreamDNS, .upstreamTLS, .upstreamProtocol, .upstreamReset, .upstreamMalformed, .upstreamTruncated, .upstreamStatus, .upstreamInBand,
            .connectTimeout, .firstByteTimeout, .idleTimeout, .upstreamPending, .upstreamCannotSwitch, .noCredentials: true
        default: false
        }
    }

    /// Would the same upstream only fail in the same way again? Then the next candidate is asked, whatever the class's ladder says of retries.
    var isUpstreamsOwn: Bool {
        switch self {
        case .upstreamProtocol, .upstreamPending, .upstreamCannotSwitch, .noCredentials: true
        default: false
        }
    }

    /// Says nothing of how the upstream is: neither its breaker nor its endpoint counts it.
    var isOurs: Bool {
        switch self {
        case .upstreamProtocol, .upstreamPending, .upstreamCannotSwitch, .noCredentials, .answerTooLarge, .bodyMemoryExhausted, .buffersExhausted, .draining: true
        default: false
        }
    }

    /// Was nothing of the request sent, so that even a request that must not be repeated may go elsewhere?
    var isBeforeSending: Bool {
        switch self {
        case .upstreamConnect, .upstreamDNS, .upstreamTLS, .upstreamProtocol, .connectTimeout, .upstreamPending, .upstreamCannotSwitch, .noCredentials: true
        default: false
        }
    }
}
