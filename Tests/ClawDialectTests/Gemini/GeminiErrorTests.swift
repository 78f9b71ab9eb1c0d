// Google's errors: what a body tells beyond its status, and what others' errors look like in Google's words.
import ClawDialect
import ClawWire
import Foundation
import Testing

struct GeminiErrorTests {
    private func read(_ status: Int, _ body: String) -> ProviderError {
        let held = words(body)
        var tape = JSONTape()
        let isJSON = tape.read(held.raw) == nil
        let arena = ArenaBox()
        var error = GeminiDialect.readError(status: status, isJSON ? tape.root : JSONValue(), text: held.raw, kind: JSONBytes(), arena)
        error.message = words(error.message.string)
        return error
    }

    static let cases: [(Int, String, ProblemClass)] = [
        (400, #"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#, .auth),
        (400, #"{"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT"}}"#, .auth),
        (400, #"{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}"#, .badRequest),
        (400, #"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#, .contextTooLong),
        (400, #"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#, .auth),
        (400, #"{"error":{"code":400,"message":"something else","status":"FAILED_PRECONDITION"}}"#, .badRequest),
        (400, #"{"error":{"code":400,"message":"The prompt could not be submitted: it violates Google's Responsible AI practices.","status":"INVALID_ARGUMENT"}}"#, .contentFiltered),
        (401, #"{"error":{"code":401,"message":"m","status":"UNAUTHENTICATED"}}"#, .auth), (403, #"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}"#, .auth),
        (402, #"{"error":{"code":402,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#, .rateLimited), (404, #"{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}"#, .modelMissing),
        (429, #"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#, .rateLimited), (499, #"{"error":{"code":499,"message":"m","status":"CANCELLED"}}"#, .badRequest),
        (500, #"{"error":{"code":500,"message":"m","status":"INTERNAL"}}"#, .serverError), (503, #"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#, .overloaded),
        (504, #"{"error":{"code":504,"message":"m","status":"DEADLINE_EXCEEDED"}}"#, .timeout), (502, "<html>Bad gateway</html>", .serverError), (503, "no healthy upstream", .overloaded),
        (429, "{}", .rateLimited), (400, "", .badRequest), (500, "[1]", .serverError), (500, #"{"error":"text"}"#, .serverError),
    ]

    @Test(arguments: cases) func problemIsToldByStatusAndBody(_ status: Int, _ body: String, _ problem: ProblemClass) {
        let error = read(status, body)
        #expect(error.problem == problem)
        #expect(error.status == status)
        #expect(error.isQuota == (status == 402))
    }

    @Test func waitIsInTheBody() {
        #expect(read(429, #"{"error":{"code":429,"details":[{"@type":"x"},{"retryDelay":"48s"}]}}"#).retryAfterSeconds == 48)
        #expect(read(429, #"{"error":{"code":429,"details":[{"retryDelay":"48.939935699s"}]}}"#).retryAfterSeconds == 48.939935699)
        for bad in ["48", "s", "-3s", "1e999s", "soon"] {
            let seconds = read(429, "{\"error\":{\"code\":429,\"details\":[{\"retryDelay\":\"\(bad)\"}]}}").retryAfterSeconds
            #expect(seconds == (bad == "1e999s" ? 86_400 : 0))
        }
    }

    @Test func plainTextIsTheMessageAndHTMLIsNot() {
        #expect(read(503, "no healthy \"upstream\"").message.string == #"no healthy \"upstream\""#)
        #expect(!read(502, " <html><body>secret</body></html>").message.string.contains("secret"))
        #expect(read(503, String(repeating: "x", count: 5000)).message.count == 500)
        #expect(!read(503, "\u{1}\u{2}").message.string.contains("u0001"))
    }

    static let written: [(ProblemClass, Int, Int, String)] = [
        (.rateLimited, 429, 429, "RESOURCE_EXHAUSTED"), (.overloaded, 529, 503, "UNAVAILABLE"), (.timeout, 408, 504, "DEADLINE_EXCEEDED"), (.serverError, 500, 500, "INTERNAL"),
        (.serverError, 502, 502, "INTERNAL"), (.auth, 401, 400, "INVALID_ARGUMENT"), (.auth, 403, 403, "PERMISSION_DENIED"), (.modelMissing, 404, 404, "NOT_FOUND"),
        (.contextTooLong, 400, 400, "INVALID_ARGUMENT"), (.contentFiltered, 400, 400, "INVALID_ARGUMENT"), (.badRequest, 422, 422, "INVALID_ARGUMENT"), (.badRequest, 400, 400, "INVALID_ARGUMENT"),
        (.badRequest, 499, 499, "CANCELLED"), (.badRequest, 0, 400, "INVALID_ARGUMENT"),
    ]

    @Test(arguments: written) func othersErrorsInGooglesWords(_ problem: ProblemClass, _ status: Int, _ wanted: Int, _ word: String) throws {
        var error = ProviderError(status: status, problem: problem)
        error.message = JSONBytes("m \\\"x\\\"")
        error.type = JSONBytes("foreign_type")
        error.code = JSONBytes("foreign_code")
        error.retryAfterSeconds = problem == .rateLimited ? 1.2 : 0
        var out = JSONWriter()
        #expect(GeminiDialect.writeError(error, requestID: JSONBytes("req-1"), into: &out) == wanted)
        let text = String(decoding: out.bytes, as: UTF8.self)
        let body = try #require((try parsed(text) as? [String: Any])?["error"] as? [String: Any])
        #expect(body["code"] as? Int == wanted)
        #expect(body["status"] as? String == word)
        #expect(body["message"] as? String == "m \"x\"")
        #expect(!text.contains("foreign"))
        let details = body["details"] as? [[String: Any]] ?? []
        #expect(details.last?["requestId"] as? String == "req-1")
        #expect(details.contains { $0["reason"] as? String == "API_KEY_INVALID" } == (problem == .auth && status == 401))
        #expect(details.contains { $0["retryDelay"] as? String == "2s" } == (problem == .rateLimited))
    }
}
