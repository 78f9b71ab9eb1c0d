// How much the model shall think, put into words that it knows: `adaptive` with an effort for those from 4.6 on, a number of tokens for those from 3.7 on.
//
// Thinking is given up, with its name noted, where the API would refuse it: when a tool must be called, and (with a number of tokens) when the calls under
// way were made without thoughts that could be sent along.
import ClawWire

struct ThinkingPlan {
    enum Mode: UInt8 { case absent, disabled, adaptive, budget }
    private static let budgetMin: Int64 = 1024
    /// More than any model's; keeps sums inside 64 bits.
    private static let budgetMax: Int64 = 1 << 40
    /// Added to the answer's room where the client named none and the model thinks as it likes.
    private static let adaptiveRoom: Int64 = 16384

    var mode = Mode.absent
    var budget: Int64 = 0
    var effort = Reasoning.Effort.unset
    var isOn: Bool { mode == .adaptive || mode == .budget }

    /// Nothing said.
    init() {}

    /// As a client of this dialect said it.
    static func asSaid(_ reasoning: Reasoning) -> Mode {
        guard let isEnabled = reasoning.isEnabled else { return .absent }
        if !isEnabled { return .disabled }
        return (reasoning.budget ?? -1) < 0 ? .adaptive : .budget
    }

    init(_ conversation: Conversation, _ model: ClaudeModel) throws(Refusal) {
        let reasoning = conversation.reasoning
        guard reasoning.isSet || reasoning.includesThoughts == true && model.isOnByDefault else { return }
        if reasoning.effort == .none || reasoning.isEnabled == false || reasoning.budget == 0 {
            if model.isAlwaysOn {
                effort = .low
                conversation.hint(.reasoning)
            } else if model.isOnByDefault {
                mode = .disabled
            }
            return
        }
        if model.thinking == .none {
            try conversation.cannot(.reasoning, "this model does not think")
            return
        }
        let tokens = reasoning.budget ?? -1
        if model.thinking == .budget || model.thinking == .both && tokens > 0 {
            mode = .budget
            budget = tokens > 0 ? min(Self.budgetMax, max(Self.budgetMin, tokens)) : ClaudeModel.budget(for: reasoning.effort)
            if !Self.hasThoughts(conversation) { giveUp(conversation) }
        } else {
            mode = .adaptive
            effort = reasoning.effort == .unset && tokens > 0 ? Reasoning.Effort(budget: tokens) : reasoning.effort
            if effort == .minimal { effort = .low }
            if effort == .xhigh, !model.hasXHigh {
                effort = .high
                conversation.hint(.reasoning)
            }
        }
        switch conversation.toolChoice {
        case .required, .tool: if isOn { giveUp(conversation) }
        case .unset, .auto, .none: break
        }
    }

    private mutating func giveUp(_ conversation: Conversation) {
        mode = .absent
        conversation.hint(.reasoning)
    }

    /// False when calls have been made since the user last spoke and no thoughts are there to go before them.
    private static func hasThoughts(_ conversation: Conversation) -> Bool {
        var hasCalls = false
        for message in conversation.messages.reversed() {
            if message.role == .user { break }
            guard message.role == .assistant else { continue }
            for at in message.parts {
                let part = conversation.parts[at]
                if part.kind == .toolCall { hasCalls = true }
                if MessagesDialect.isUsableThought(part) { return true }
            }
        }
        return !hasCalls
    }

    /// `max_tokens`: what the client said or the default, within what the model can, and with room for the thoughts. Trims the budget where they must fit.
    mutating func room(_ conversation: Conversation, _ target: Target) -> Int64 {
        let most = target.maxOutputTokens > 0 ? target.maxOutputTokens : Int64.max
        let said = conversation.maxTokens.map { max(0, min(Self.budgetMax, $0)) }
        var tokens = said ?? min(MessagesDialect.answerTokens, most)
        if mode == .budget, budget >= tokens { tokens += budget }
        if mode == .adaptive, said == nil { tokens += Self.adaptiveRoom }
        if tokens > most {
            if said != nil { conversation.hint(.maxTokens) }
            tokens = most
        }
        if mode == .budget, budget >= tokens {
            budget = tokens - 1
            if budget < Self.budgetMin { giveUp(conversation) }
        }
        return tokens
    }
}
