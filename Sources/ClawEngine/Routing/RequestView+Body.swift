// Conditions on the JSON body, over the spans that one scan of it left.
import CScan
import ClawConfig
import ClawWire
import Glibc

extension RequestView {
    /// Of the conditions on the body.
    mutating func bodyMismatch(_ route: UnsafeMutablePointer<PlanRoute>) -> Mismatch {
        if !route.pointee.needsBody { return .none }
        guard bodyIsJSON, let body else { return Mismatch(.noBody) }
        for at in 0..<route.pointee.body.count {
            let condition = route.pointee.body[at]
            let span = spans[condition.pointee.path]
            if condition.pointee.path == PolicyPath.model, surface.hasModelInPath {
                if !holds(condition.pointee.test, model: requestedModel) { return Mismatch(.body, at) }
            } else if !holds(condition.pointee.test, span, body) {
                return Mismatch(.body, at)
            }
        }
        if let prompt = route.pointee.prompt { return promptMismatch(prompt) }
        return .none
    }

    /// A condition on `model` where the model is in the path: it is a string like any other.
    private mutating func holds(_ test: PlanBodyTest, model: UnsafeRawBufferPointer) -> Bool {
        func isModel(_ value: PlanScalar) -> Bool { if case .string(let wanted) = value { wanted.equals(model) } else { false } }
        switch test {
        case .exists(let wanted): return wanted
        case .equals(let value): return isModel(value)
        case .notEquals(let value): return !isModel(value)
        case .isIn(let values):
            for at in 0..<values.count where isModel(values[at].pointee) { return true }
            return false
        case .regex(let regex): return regex._withUnsafeGuaranteedRef { $0.matches(model) }
        case .contains(let value):
            guard case .string(let wanted) = value else { return false }
            return wanted.count == 0 || cscan_find(model.baseAddress, model.count, wanted.base, wanted.count) < model.count
        case .lt, .lte, .gt, .gte: return false
        }
    }

    private mutating func holds(_ test: PlanBodyTest, _ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>) -> Bool {
        switch test {
        case .exists(let wanted): return wanted == (span.kind != .missing)
        case .equals(let value): return equals(span, body, value)
        case .notEquals(let value): return span.kind != .missing && !equals(span, body, value)
        case .isIn(let values):
            for at in 0..<values.count where equals(span, body, values[at].pointee) { return true }
            return false
        case .regex(let regex):
            guard span.kind == .string, let text = text(span, body) else { return false }
            return regex._withUnsafeGuaranteedRef { $0.matches(text) }
        case .lt(let bound): return number(span, body).map { $0 < bound } ?? false
        case .lte(let bound): return number(span, body).map { $0 <= bound } ?? false
        case .gt(let bound): return number(span, body).map { $0 > bound } ?? false
        case .gte(let bound): return number(span, body).map { $0 >= bound } ?? false
        case .contains(let value): return contains(span, body, value)
        }
    }

    private mutating func equals(_ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>, _ value: PlanScalar) -> Bool {
        switch value {
        case .string(let wanted):
            guard span.kind == .string else { return false }
            if !span.isEscaped { return wanted.equals(body + span.offset + 1, span.length - 2) }
            return text(span, body).map { wanted.equals($0) } ?? false
        case .number(let wanted): return number(span, body) == wanted
        case .bool(let wanted): return span.kind == .bool && span.isTrue == wanted
        case .null: return span.kind == .null
        }
    }

    private func number(_ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>) -> Double? {
        guard span.kind == .number else { return nil }
        return JSONNumber.parse(UnsafeRawBufferPointer(start: body + span.offset, count: span.length))
    }

    /// A string's text without quotes, unescaped into scratch where need be; nil when it is longer than scratch.
    @inline(__always)
    func text(_ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>) -> UnsafeRawBufferPointer? {
        if !span.isEscaped { return UnsafeRawBufferPointer(start: body + span.offset + 1, count: span.length - 2) }
        return Self.unescaped(span, body, scratch)
    }

    private static func unescaped(_ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>, _ scratch: UnsafeMutablePointer<UInt8>) -> UnsafeRawBufferPointer? {
        let inner = UnsafeRawBufferPointer(start: body + span.offset + 1, count: span.length - 2)
        guard inner.count <= Worker.scratchBytes,
            let count = JSONText.unescape(UnsafeRawBufferPointer(start: body + span.offset, count: span.length), into: UnsafeMutableRawBufferPointer(start: scratch, count: Worker.scratchBytes))
        else { return nil }
        return UnsafeRawBufferPointer(start: scratch, count: count)
    }

    /// A substring of a string, or an element of an array of scalars.
    private mutating func contains(_ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>, _ value: PlanScalar) -> Bool {
        if span.kind == .string, case .string(let wanted) = value, let text = text(span, body) {
            return wanted.count == 0 || cscan_find(text.baseAddress, text.count, wanted.base, wanted.count) < text.count
        }
        guard span.kind == .array else { return false }
        var elements = ArrayElements(base: body, from: span.offset + 1, to: span.offset + span.length - 1)
        while let element = elements.next() {
            if equals(element, body, value) { return true }
        }
        return false
    }
}

extension Bytes {
    @inline(__always)
    func equals(_ raw: UnsafeRawBufferPointer) -> Bool {
        raw.count == count && sameBytes(base, raw.baseAddress, count)
    }
}

/// Walks the elements of a JSON array that has been validated before; nested values are passed over as wholes.
struct ArrayElements {
    let base: UnsafeMutablePointer<UInt8>
    var from: Int
    let to: Int

    mutating func next() -> JSONSpan? {
        while from < to, base[from] == 32 || base[from] == 44 || (base[from] >= 9 && base[from] <= 13) { from += 1 }
        if from >= to { return nil }
        var span = JSONSpan()
        span.offset = from
        var depth = 0
        var at = from
        while at < to {
            let c = base[at]
            if c == 34 {
                at += 1
                while at < to, base[at] != 34 {
                    if base[at] == 92 {
                        at += 1
                        if depth == 0 { span.isEscaped = true }
                    }
                    at += 1
                }
            } else if c == 91 || c == 123 {
                depth += 1
            } else if c == 93 || c == 125 {
                depth -= 1
            } else if c == 44, depth == 0 {
                break
            }
            at += 1
        }
        var end = min(at, to)
        while end > from, base[end - 1] == 32 || (base[end - 1] >= 9 && base[end - 1] <= 13) { end -= 1 }
        span.length = end - from
        switch base[from] {
        case 34: span.kind = .string
        case 91: span.kind = .array
        case 123: span.kind = .object
        case 116, 102: span.kind = .bool; span.isTrue = base[from] == 116
        case 110: span.kind = .null
        default: span.kind = .number
        }
        from = at
        return span
    }
}
