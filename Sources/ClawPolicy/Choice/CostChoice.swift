// The target that costs least for this request, as far as it can be known before: the estimated tokens of the prompt and the expected ones of the answer,
// each times its price.

public enum CostChoice {
    /// Where no price is known.
    public static let unknown = Int64.max

    /// In nano-USD, rounded. Prices in USD · 10⁻⁶ for 1,000,000 tokens (the unit of the catalogue: a pico-dollar for one token); a negative one is not known.
    /// Never traps; what is too large to count is as good as unknown.
    public static func score(inputTokens: Int64, outputTokens: Int64, inputPrice: Int64, outputPrice: Int64) -> Int64 {
        let sum = exact(inputTokens: inputTokens, outputTokens: outputTokens, inputPrice: inputPrice, outputPrice: outputPrice)
        return sum >= unknown - 1 ? sum : sum / 1000 + (sum % 1000 >= 500 ? 1 : 0)
    }

    /// The same in pico-USD, not rounded: what `order` should be given, so that cheap models on short prompts stay apart.
    public static func exact(inputTokens: Int64, outputTokens: Int64, inputPrice: Int64, outputPrice: Int64) -> Int64 {
        guard inputPrice >= 0, outputPrice >= 0 else { return unknown }
        let (input, inputOverflow) = max(0, inputTokens).multipliedReportingOverflow(by: inputPrice)
        let (output, outputOverflow) = max(0, outputTokens).multipliedReportingOverflow(by: outputPrice)
        let (sum, sumOverflow) = input.addingReportingOverflow(output)
        return inputOverflow || outputOverflow || sumOverflow ? unknown - 1 : sum
    }

    /// All targets, the cheapest first, equal ones in their own order; a target whose average latency is above its limit (both nanoseconds, 0: none) goes
    /// behind all that are not. Writes as many as `into` holds, returns how many.
    public static func order(
        _ scores: UnsafeBufferPointer<Int64>, averages: UnsafeBufferPointer<UInt64>, limits: UnsafeBufferPointer<UInt64>, into: UnsafeMutableBufferPointer<Int>
    ) -> Int {
        @inline(__always) func isSlow(_ at: Int) -> Bool { at < limits.count && at < averages.count && limits[at] > 0 && averages[at] > limits[at] }
        var written = 0
        for at in scores.indices {
            insert(at, into, &written) { one, other in
                let (slow, slowOther) = (isSlow(one), isSlow(other))
                return slow != slowOther ? slowOther : scores[one] < scores[other]
            }
        }
        return written
    }
}
