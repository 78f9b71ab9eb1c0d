// A whole answer as the events of a stream, for a client that asked for a stream of an upstream that answered whole.
import ClawWire

extension EventList {
    public func addAll(of answer: Answer) {
        var start = StreamEvent(.start)
        start.id = answer.id
        start.name = answer.model
        start.number = answer.created
        add(start)
        for (place, choice) in answer.choices.enumerated() {
            var calls: Int32 = 0
            for at in choice.parts {
                let part = answer.parts[at]
                var event = StreamEvent(.partStart)
                event.choice = Int32(truncatingIfNeeded: place)
                event.index = Int32(truncatingIfNeeded: at - choice.parts.lowerBound)
                event.partKind = part.kind
                func next(_ kind: StreamEvent.Kind, _ change: (inout StreamEvent) -> Void = { _ in }) {
                    var one = StreamEvent(kind)
                    one.choice = event.choice
                    one.index = event.index
                    one.partKind = part.kind
                    change(&one)
                    add(one)
                }
                switch part.kind {
                case .text, .refusal:
                    add(event)
                    next(part.kind == .text ? .textDelta : .refusalDelta) { $0.text = part.text }
                    next(.partEnd)
                case .thinking:
                    add(event)
                    if !part.text.isEmpty { next(.thinkingDelta) { $0.text = part.text } }
                    if part.signature.exists {
                        next(.signature) {
                            $0.text = part.signature
                            $0.signatureOf = part.signatureOf
                        }
                    }
                    next(.partEnd)
                case .redactedThinking:
                    next(.redactedThinking) {
                        $0.text = part.data
                        $0.signatureOf = part.signatureOf
                    }
                case .toolCall:
                    next(.callStart) {
                        $0.index = calls
                        $0.id = part.id
                        $0.name = part.name
                        $0.text = part.signature
                        $0.signatureOf = part.signatureOf
                        $0.isCustom = part.isCustom
                    }
                    next(.callArguments) {
                        $0.index = calls
                        if part.json.exists { $0.json = part.json } else { $0.text = part.text }
                    }
                    next(.callEnd) { $0.index = calls }
                    calls += 1
                case .image, .audio, .video, .document, .toolResult, .opaque: break
                }
            }
            var finish = StreamEvent(.finish)
            finish.choice = Int32(truncatingIfNeeded: place)
            finish.finish = choice.finish
            finish.name = choice.nativeFinish
            finish.text = choice.stopSequence
            add(finish)
        }
        if answer.usage.isKnown {
            var usage = StreamEvent(.usage)
            usage.usage = answer.usage
            add(usage)
        }
        add(.end)
    }
}
