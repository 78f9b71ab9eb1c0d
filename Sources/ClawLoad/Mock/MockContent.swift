// MockContent: what one answer says, in every dialect: thinking first, then text, then tool calls. The script and the request decide how much of each; the words
// are the vocabulary's. StreamShape and MockMoment say which event of a stream a step is, so that a stream needs no state but its step.

struct MockContent {
    /// No tokens: no thinking.
    var thought = AnswerText()
    /// No tokens: no text, only calls.
    var text = AnswerText()
    var calls = 0
    /// The request's limit cuts the text off.
    var isCut = false
    /// The text is `{"answer":"…"}`.
    var isJSON = false

    var outputTokens: Int { thought.tokens + text.tokens + calls * MockCall.parts }
    var finish: Finish { calls > 0 ? .calls : isCut ? .length : .stop }
    /// Number of blocks before the text, and before the calls.
    var textIndex: Int { thought.tokens > 0 ? 1 : 0 }
    var callIndex: Int { textIndex + (text.tokens > 0 ? 1 : 0) }

    enum Finish { case stop, length, calls }
}

/// The arguments of every tool call: a string, and a number that no double holds.
enum MockCall {
    /// The object.
    static let object: StaticString = #"{"city":"Seoul","n":9007199254740993}"#
    /// The object as the inside of a JSON string.
    static let escaped: StaticString = #"{\"city\":\"Seoul\",\"n\":9007199254740993}"#
    /// `escaped` in pieces, cut within a key, a text and a number as models do.
    static let parts = 4
    static func part(_ place: Int) -> StaticString {
        switch place {
        case 0: #"{\"ci"#
        case 1: #"ty\":\"Seo"#
        case 2: #"ul\",\"n\":90071992"#
        default: "54740993}"
        }
    }
    /// The name where the request offers no tool.
    static let name: StaticString = "get_weather"
}

/// How many events a dialect's stream has around its tokens.
struct StreamShape {
    var lead = 0
    var thinkingOpen = 0
    var thinkingClose = 0
    var textOpen = 0
    var textClose = 0
    var callOpen = 1
    var callParts = 0
    var callClose = 0
    /// Events more at the opening of the first block.
    var firstOpen = 0

    /// Events of one call.
    var call: Int { callOpen + callParts + callClose }
}

/// Which event a step is. The first number counts within its kind; of calls, the first is the call.
enum MockMoment {
    case lead(Int)
    case thinkingOpen(Int), thinking(Int), thinkingClose(Int)
    case textOpen(Int), text(Int), textClose(Int)
    case callOpen(Int, Int), callPart(Int, Int), callClose(Int, Int)
    case tail(Int)

    /// The event of a step, and the choice it belongs to: choices take turns.
    static func of(_ step: Int, _ shape: StreamShape, _ content: MockContent, choices: Int) -> (moment: MockMoment, choice: Int) {
        var at = step
        if at < shape.lead { return (.lead(at), at) }
        at -= shape.lead
        let choice = at % choices
        var unit = at / choices
        if content.thought.tokens > 0 {
            let open = shape.thinkingOpen > 0 ? shape.thinkingOpen + shape.firstOpen : 0
            if unit < open { return (.thinkingOpen(unit), choice) }
            unit -= open
            if unit < content.thought.tokens { return (.thinking(unit), choice) }
            unit -= content.thought.tokens
            if unit < shape.thinkingClose { return (.thinkingClose(unit), choice) }
            unit -= shape.thinkingClose
        }
        if content.text.tokens > 0 {
            let open = shape.textOpen > 0 && content.textIndex == 0 ? shape.textOpen + shape.firstOpen : shape.textOpen
            if unit < open { return (.textOpen(unit), choice) }
            unit -= open
            if unit < content.text.tokens { return (.text(unit), choice) }
            unit -= content.text.tokens
            if unit < shape.textClose { return (.textClose(unit), choice) }
            unit -= shape.textClose
        }
        if content.calls > 0 {
            // The first call may be the first block.
            let extra = content.callIndex == 0 ? shape.firstOpen : 0
            if unit < shape.callOpen + extra { return (.callOpen(0, unit), choice) }
            unit -= extra
            let call = unit / shape.call
            if call < content.calls {
                var place = unit % shape.call
                if place < shape.callOpen { return (.callOpen(call, place), choice) }
                place -= shape.callOpen
                if place < shape.callParts { return (.callPart(call, place), choice) }
                return (.callClose(call, place - shape.callParts), choice)
            }
            unit -= content.calls * shape.call
        }
        return (.tail(unit * choices + choice), choice)
    }
}
