import ClawDialect
import ClawWire
import Foundation
import Testing

struct CatalogueFileTests {
    static func json(_ models: String) -> String { "{\"format\": \"openclaw-model-catalog/1\",\n\"models\": [\n\(models)\n]}" }
    static func one(_ members: String) -> String { json("{\"provider\": \"openai\", \"model\": \"gpt-4o\"\(members.isEmpty ? "" : ", ")\(members)}") }

    @Test func aFileReplacesAndAddsModels() throws {
        let texts = [
            Self.json("""
            {"provider": "openai", "model": "gpt-4o", "input_price": 2, "output_price": 8.5, "max_context_tokens": 1000, "max_input_tokens": null},
            {"provider": "vllm", "model": "our-own", "input_price": 0, "output_price": 0, "capabilities": {"kind": "chat", "input": ["text", "image"], "output": ["text"], "tools": true}}
            """),
            "# ours\n\nopenai\tgpt-4o\t1000\t\t\t2,8.5\r\nvllm\tour-own\t\t\t\t0,0\t\tT\tti>t\n",
        ]
        for text in texts {
            let catalogue = try load(text)
            let model = try #require(catalogue.model(provider: "openai", id: "gpt-4o-2025-12-24"))
            #expect(model.id == "gpt-4o" && model.prices.input?.description == "2" && model.prices.output?.description == "8.5" && model.prices.cacheRead == nil)
            #expect(model.contextTokensMax == 1000 && model.inputTokensMax == 1000 && !model.hasTools)
            let own = try #require(catalogue.model(provider: "vllm", id: "our-own"))
            #expect(own.hasTools && own.inputs == [.text, .image] && own.prices.cost(of: usage(input: 5, output: 5)) == 0)
            #expect(catalogue.model(provider: "openai", id: "gpt-4o-mini") == Catalogue.builtIn.model(provider: "openai", id: "gpt-4o-mini"))
            #expect(catalogue.all.count == 827 && catalogue.models(of: "vllm") == [own] && catalogue.models(of: "openai").filter { $0.id == "gpt-4o" } == [model])
            #expect(try load(text, onto: .empty).all.count == 2)
        }
        #expect(try load(texts[0]).all == load(texts[1]).all)
    }

    @Test func aSecondFileGoesBeforeTheFirst() throws {
        let first = try load("a\tone\t1\na\ttwo\t2\n", onto: .empty)
        let both = try load("a\ttwo\t22\na\tthree\t3", onto: first)
        #expect(both.all.map(\.id) == ["one", "three", "two"] && both.all.map(\.contextTokensMax) == [1, 3, 22])
    }

    @Test func everyColumnIsRead() throws {
        let text = "p\tm\t100\t90\t80\t1,2,0.1,1.25,2.5,3,4,5\t10:2,4;20:3,,0.3\tETsRfA\ttipva>ta\ttoggle,low/high,1..9\t7\t2026-02\tbeta"
        let model = try #require(try load(text, onto: .empty).model(provider: "p", id: "m"))
        #expect(model.contextTokensMax == 100 && model.inputTokensMax == 90 && model.outputTokensMax == 80 && model.kind == .embedding && model.embeddingDimensions == 7)
        let base = model.prices.base
        #expect([base.input, base.output, base.cacheRead, base.cacheWrite, base.cacheWriteHour, base.reasoning, base.audioIn, base.audioOut].map { $0?.units } == [
            1_000_000, 2_000_000, 100_000, 1_250_000, 2_500_000, 3_000_000, 4_000_000, 5_000_000,
        ])
        #expect(model.prices.aboveFirst == 10 && model.prices.aboveSecond == 20 && model.prices.second.input?.units == 3_000_000 && model.prices.second.output == nil)
        #expect(model.hasStructuredOutput == false && model.takesTemperature == false && model.hasTools && model.isReasoning && model.takesAttachments)
        #expect(model.inputs == [.text, .image, .pdf, .video, .audio] && model.outputs == [.text, .audio] && model.status == .beta && model.released == "2026-02")
        #expect(model.reasoning.hasToggle && model.reasoning.efforts == [.low, .high] && model.reasoning.budgetMin == 1 && model.reasoning.budgetMax == 9)
    }

    // MARK: What is wrong

    struct Bad: Sendable, CustomTestStringConvertible {
        var text: String, problem: String
        init(_ text: String, _ problem: String) { (self.text, self.problem) = (text, problem) }
        var testDescription: String { problem }
    }

    @Test(arguments: [
        Bad("", "holds no model"), Bad("# nothing\n \n", "line 2: column 1, provider: expected a name"), Bad("{", "line 1: not valid JSON: it ends too soon"),
        Bad("{\n\"format\": 1,,}", "line 2: not valid JSON"), Bad("{\"a\":\"\u{1}\"}", "line 1: not valid JSON"),
        Bad("{}", "format: expected \"openclaw-model-catalog/1\""), Bad("\n\n{\"format\": \"openclaw-model-catalog/2\"}", "line 3: format: expected \"openclaw-model-catalog/1\""),
        Bad("{\"format\": \"openclaw-model-catalog/1\"}", "models: expected a list of models"),
        Bad("{\"format\": \"openclaw-model-catalog/1\", \"models\": {}}", "models: expected a list of models"),
        Bad("{\"format\": \"openclaw-model-catalog/1\", \"currency\": \"EUR\", \"models\": []}", "line 1: currency: expected USD, found \"EUR\""),
        Bad("{\"format\": \"openclaw-model-catalog/1\", \"price_unit\": \"per token\", \"models\": []}", "line 1: price_unit: expected per 1,000,000 tokens, found \"per token\""),
        Bad("{\"format\": \"openclaw-model-catalog/1\",\n\"modles\": [], \"models\": []}", "line 2: modles: unknown member"),
        Bad(json(""), "holds no model"), Bad(json("3"), "line 3: models[0]: expected an object, found 3"),
        Bad(json("{\"provider\": \"a\", \"model\": \"b\"},\n{\"provider\": \"a\"}"), "line 4: models[1].model: expected a model id, found nothing"),
        Bad(json("{\"provider\": \"a b\", \"model\": \"b\"}"), "line 3: models[0].provider: expected a name, found \"a b\""),
        Bad(json("{\"provider\": \"\", \"model\": \"b\"}"), "line 3: models[0].provider: expected a name, found \"\""),
        Bad(json("{\"provider\": \"a\", \"model\": \"\\u0062\"}"), "line 3: models[0].model: expected a model id, found \"\\u0062\""),
        Bad(json("{\"provider\": \"a\", \"model\": \"b\"},\n{\"provider\": \"a\", \"model\": \"b\"}"), "line 4: b of a stands there twice, first at line 3"),
        Bad(one("\"input_prise\": 2"), "line 3: models[0].input_prise: unknown member"),
        Bad(one("\"input_price\": 2, \"input_price\": 3"), "line 3: models[0].input_price: stands there twice"),
        Bad(one("\"input_price\": \"2\""), "line 3: models[0].input_price: expected a number 0…1000000 or null, found \"2\""),
        Bad(one("\"input_price\": -0.1"), "line 3: models[0].input_price: expected a number 0…1000000 or null, found -0.1"),
        Bad(one("\"output_price\": 1e7"), "line 3: models[0].output_price: expected a number 0…1000000 or null, found 1e7"),
        Bad(one("\"max_context_tokens\": 1.5"), "line 3: models[0].max_context_tokens: expected a whole number 0…2^40 or null, found 1.5"),
        Bad(one("\"max_output_tokens\": -1"), "line 3: models[0].max_output_tokens: expected a whole number 0…2^40 or null, found -1"),
        Bad(one("\"max_input_tokens\": 99999999999999999999"), "line 3: models[0].max_input_tokens: expected a whole number 0…2^40 or null, found 99999999999999999999"),
        Bad(one("\"release_date\": \"soon\""), "line 3: models[0].release_date: expected a date such as 2026-02-05, found \"soon\""),
        Bad(one("\"status\": \"old\""), "line 3: models[0].status: expected alpha, beta or deprecated, found \"old\""),
        Bad(one("\"price_tiers\": 1"), "line 3: models[0].price_tiers: expected a list of tiers, found 1"),
        Bad(one("\"price_tiers\": [1]"), "line 3: models[0].price_tiers[0]: expected an object, found 1"),
        Bad(one("\"price_tiers\": [{}]"), "line 3: models[0].price_tiers[0].above_input_tokens: expected a whole number, found nothing"),
        Bad(one("\"price_tiers\": [{\"above_input_tokens\": 5, \"price\": 1}]"), "line 3: models[0].price_tiers[0].price: unknown member"),
        Bad(one("\"price_tiers\": [{\"above_input_tokens\": 5}, {\"above_input_tokens\": 5}]"),
            "line 3: models[0].price_tiers[1]: expected at most 2 tiers in rising order, each above 0 tokens"),
        Bad(one("\"price_tiers\": [{\"above_input_tokens\": 1}, {\"above_input_tokens\": 2}, {\"above_input_tokens\": 3}]"),
            "line 3: models[0].price_tiers[2]: expected at most 2 tiers in rising order, each above 0 tokens"),
        Bad(one("\"capabilities\": []"), "line 3: models[0].capabilities: expected an object, found []"),
        Bad(one("\"capabilities\": {\"kind\": \"image\"}"), "line 3: models[0].capabilities.kind: expected chat or embedding, found \"image\""),
        Bad(one("\"capabilities\": {\"tools\": 1}"), "line 3: models[0].capabilities.tools: expected true, false or null, found 1"),
        Bad(one("\"capabilities\": {\"input\": \"text\"}"), "line 3: models[0].capabilities.input: expected a list of text, image, pdf, video, audio, found \"text\""),
        Bad(one("\"capabilities\": {\"output\": [\"smell\"]}"), "line 3: models[0].capabilities.output: expected text, image, pdf, video or audio, found \"smell\""),
        Bad(one("\"capabilities\": {\"smell\": true}"), "line 3: models[0].capabilities.smell: unknown member"),
        Bad(one("\"capabilities\": {\"reasoning_options\": [{\"type\": \"x\"}]}"),
            "line 3: models[0].capabilities.reasoning_options[0].type: expected toggle, effort or budget_tokens, found \"x\""),
        Bad(one("\"capabilities\": {\"reasoning_options\": [{\"type\": \"effort\", \"values\": [\"huge\"]}]}"),
            "line 3: models[0].capabilities.reasoning_options[0].values: expected none, minimal, low, medium, high, xhigh, max or default, found \"huge\""),
        Bad(one("\"capabilities\": {\"reasoning_options\": [{\"type\": \"budget_tokens\", \"min\": \"1\"}]}"),
            "line 3: models[0].capabilities.reasoning_options[0].min: expected a whole number 0…2^40 or null, found \"1\""),
        Bad("a", "line 1: column 2, model: expected a model id, found nothing"), Bad("a\tb\na\tc\tx", "line 2: column 3, context window: expected a whole number up to 2^40, found \"x\""),
        Bad("a\tb\t9999999999999999999999", "line 1: column 3, context window: expected a whole number up to 2^40, found \"9999999999999999999999\""),
        Bad("a\tb\t\t\t\t1,x", "line 1: column 6, prices: expected 0…1000000 with at most 6 decimals, found \"x\""),
        Bad("a\tb\t\t\t\t1,2,3,4,5,6,7,8,9", "line 1: column 6, prices: expected at most 8 prices"),
        Bad("a\tb\t\t\t\t1\t5", "line 1: column 7, price tiers: expected tokens:prices, found \"5\""),
        Bad("a\tb\t\t\t\t1\t5:1;5:2", "line 1: column 7, price tiers: expected at most 2 tiers in rising order, each above 0 tokens, found \"5:1;5:2\""),
        Bad("a\tb\t\t\t\t\t\tX", "line 1: column 8, flags: expected letters of ETSsRFfA, found \"X\""),
        Bad("a\tb\t\t\t\t\t\t\ttt", "line 1: column 9, modalities: expected in>out in letters of tipva, found \"tt\""),
        Bad("a\tb\t\t\t\t\t\t\t\tbig", "line 1: column 10, reasoning: expected toggle, min..max, or efforts of none, minimal, low, medium, high, xhigh, max, default, found \"big\""),
        Bad("a\tb\t\t\t\t\t\t\t\t1.2", "line 1: column 10, reasoning: expected min..max, found \"1.2\""),
        Bad("a\tb\t\t\t\t\t\t\t\t\t\t1.1.26", "line 1: column 12, date of release: expected a date such as 2026-02-05, found \"1.1.26\""),
        Bad("a\tb\t\t\t\t\t\t\t\t\t\t\told", "line 1: column 13: expected alpha, beta or deprecated, found \"old\""),
        Bad("a\tb" + String(repeating: "\t", count: 12), "line 1: expected at most 13 columns"), Bad("a\tb\n\na\tb", "line 3: b of a stands there twice, first at line 1"),
    ])
    func aBadFileIsRefusedWithPlaceAndReason(_ bad: Bad) {
        do throws(CatalogueProblem) {
            _ = try load(bad.text)
            Issue.record("it was taken")
        } catch {
            #expect(error.description == bad.problem)
        }
    }

    @Test func filesAreBounded() {
        let many = (0...Catalogue.modelsMax).map { "a\tm\($0)" }.joined(separator: "\n")
        #expect(throws: CatalogueProblem(line: Catalogue.modelsMax + 1, "expected at most 20000 models")) { try load(many) }
        let list = (0...Catalogue.modelsMax).map { "{\"provider\":\"a\",\"model\":\"m\($0)\"}" }.joined(separator: ",")
        #expect(throws: CatalogueProblem(line: 3, "models[20000]: expected at most 20000 models")) { try load(Self.json(list)) }
        #expect(throws: CatalogueProblem(line: 0, "file too large: \(Catalogue.bytesMax + 1) bytes, limit \(Catalogue.bytesMax)")) {
            let held = Held([UInt8](repeating: 0x20, count: Catalogue.bytesMax + 1))
            _ = try Catalogue.load(held.bytes)
        }
        #expect(throws: CatalogueProblem.self) { try load(Self.json(String(repeating: "[", count: 200))) }
        let long = String(repeating: "m", count: 257)
        #expect(throws: CatalogueProblem.self) { try load("a\t\(long)") }
    }

    @Test func noChangedByteTrapsAndNoBadFileIsHalfTaken() {
        let texts = [
            "p\tm\t100\t90\t80\t1,2,0.1,1.25\t10:2,4;20:3,,0.3\tETsRfA\ttipva>ta\ttoggle,low/high,1..9\t7\t2026-02-05\tbeta\np\tn\t5",
            Self.one("""
            "input_price": 2.5, "price_tiers": [{"above_input_tokens": 10, "input_price": 3}], "capabilities": {"kind": "chat", "input": ["text"], "output": ["text"],
            "tools": true, "reasoning_options": [{"type": "effort", "values": ["low"]}, {"type": "budget_tokens", "min": 1}]}, "release_date": "2026-01-01"
            """),
        ]
        var state: UInt64 = 7
        func chance(_ below: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % below
        }
        var taken = 0
        for round in 0..<4000 {
            var bytes = Array(texts[round % 2].utf8)
            for _ in 0...chance(3) {
                switch chance(3) {
                case 0: bytes[chance(bytes.count)] = UInt8(chance(256))
                case 1: bytes.remove(at: chance(bytes.count))
                default: bytes.insert(Array("\t\n,:;.\"{}[]0e-".utf8)[chance(14)], at: chance(bytes.count))
                }
            }
            let held = Held(bytes)
            if let catalogue = try? Catalogue.load(held.bytes, onto: .empty) {
                taken += 1
                #expect(!catalogue.all.isEmpty)
            }
        }
        #expect(taken > 50 && taken < 3900)
    }
}
