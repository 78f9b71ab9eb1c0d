import CClaw
import Foundation
import Testing

@testable import ClawEngine

/// Metric pages as text.
@Suite struct AdminExpositionTests {
    private let registry = Registry()

    private func text(_ pages: [MetricPage], _ format: Exposition.Format = .prometheus) -> String {
        var sum = SeriesSum(names: registry.names())
        for (index, page) in pages.enumerated() { sum.add(page, worker: index) }
        var out = Exposition(format)
        sum.write(to: &out)
        out.end()
        return String(decoding: out.bytes, as: UTF8.self)
    }

    private func filledPage() -> MetricPage {
        let page = MetricPage(seriesMax: 1000)
        let route = registry.label(.route, "chat"), azure = registry.label(.upstream, "azure"), openai = registry.label(.upstream, "openai")
        let model = registry.label(.model, "gpt-4o")
        page.add(.requests, route, 200, 2, by: 3)
        page.add(.requests, 0, 404, 0)
        page.add(.upstreamRequests, azure, model, 503)
        page.observe(.overhead, route, nanoseconds: 15_000)
        page.observe(.overhead, route, nanoseconds: 200_000_000)
        page.add(.tokens, openai, model, 2, by: 17)
        page.add(.upstreamErrors, azure, model, UInt16(ErrorClass.overloaded.rawValue))
        page.add(.fallbacks, route, azure, openai, ErrorClass.overloaded.rawValue)
        page.add(.refused, RefusalLabel.slowHead.rawValue)
        return page
    }

    @Test func aPageReadsAsThePrometheusTextOfTheContract() {
        let expected = """
            # HELP openclaw_requests_total Requests answered, by route, status and method.
            # TYPE openclaw_requests_total counter
            openclaw_requests_total{route_id="chat",status="200",method="POST"} 6
            openclaw_requests_total{route_id="other",status="404",method="GET"} 2
            # HELP openclaw_upstream_requests_total Attempts at upstreams, by the status that came back (0: none did).
            # TYPE openclaw_upstream_requests_total counter
            openclaw_upstream_requests_total{upstream_name="azure",model="gpt-4o",status="503"} 2
            # HELP openclaw_overhead_seconds Time spent inside the gateway itself.
            # TYPE openclaw_overhead_seconds histogram
            openclaw_overhead_seconds_bucket{route_id="chat",le="1e-06"} 0
            openclaw_overhead_seconds_bucket{route_id="chat",le="2e-06"} 0
            openclaw_overhead_seconds_bucket{route_id="chat",le="5e-06"} 0
            openclaw_overhead_seconds_bucket{route_id="chat",le="1e-05"} 0
            openclaw_overhead_seconds_bucket{route_id="chat",le="2e-05"} 2
            openclaw_overhead_seconds_bucket{route_id="chat",le="5e-05"} 2
            openclaw_overhead_seconds_bucket{route_id="chat",le="0.0001"} 2
            openclaw_overhead_seconds_bucket{route_id="chat",le="0.0002"} 2
            openclaw_overhead_seconds_bucket{route_id="chat",le="0.0005"} 2
            openclaw_overhead_seconds_bucket{route_id="chat",le="0.001"} 2
            openclaw_overhead_seconds_bucket{route_id="chat",le="0.005"} 2
            openclaw_overhead_seconds_bucket{route_id="chat",le="0.02"} 2
            openclaw_overhead_seconds_bucket{route_id="chat",le="0.1"} 2
            openclaw_overhead_seconds_bucket{route_id="chat",le="+Inf"} 4
            openclaw_overhead_seconds_sum{route_id="chat"} 0.40003
            openclaw_overhead_seconds_count{route_id="chat"} 4
            # HELP openclaw_tokens_total Tokens as the upstreams counted them; cached_input is part of input, reasoning part of output.
            # TYPE openclaw_tokens_total counter
            openclaw_tokens_total{upstream_name="openai",model_name="gpt-4o",kind="cached_input"} 34
            # HELP openclaw_upstream_errors_total Attempts that failed, by class.
            # TYPE openclaw_upstream_errors_total counter
            openclaw_upstream_errors_total{upstream_name="azure",model="gpt-4o",class="overloaded"} 2
            # HELP openclaw_fallbacks_total Moves to the next candidate after a failed attempt.
            # TYPE openclaw_fallbacks_total counter
            openclaw_fallbacks_total{route_id="chat",from="azure",to="openai",reason="overloaded"} 2
            # HELP openclaw_refused_total What was refused before it became a request.
            # TYPE openclaw_refused_total counter
            openclaw_refused_total{reason="slow_head"} 2
            # HELP openclaw_client_disconnects_total Clients that went away before their answer was complete.
            # TYPE openclaw_client_disconnects_total counter
            openclaw_client_disconnects_total 0
            # HELP openclaw_connections_accepted_total Client connections accepted.
            # TYPE openclaw_connections_accepted_total counter
            openclaw_connections_accepted_total{listener="data"} 0

            """
        #expect(text([filledPage(), filledPage()]) == expected)
    }

    @Test func openMetricsNamesFamiliesWithoutSuffixAndEndsWithEOF() {
        let found = text([filledPage()], .openMetrics)
        #expect(found.contains("# TYPE openclaw_requests counter\nopenclaw_requests_total{route_id=\"chat\""))
        #expect(found.hasSuffix("\n# EOF\n"))
        #expect(MetricsText(found, openMetrics: true).faults == [])
        var out = Exposition(.openMetrics)
        out.begin("openclaw_config", .information, "a \"b\"")
        out.sample("", 1)
        out.begin("x_seconds", .histogram, "x")
        out.histogram(buckets: [1, 2, 3], bounds: [1_000_000_000, 10_000_000_000], sum: 0)
        #expect(String(decoding: out.bytes, as: UTF8.self) == """
            # HELP openclaw_config a \\"b\\"
            # TYPE openclaw_config info
            openclaw_config_info 1
            # HELP x_seconds x
            # TYPE x_seconds histogram
            x_seconds_bucket{le="1.0"} 1
            x_seconds_bucket{le="10.0"} 3
            x_seconds_bucket{le="+Inf"} 6
            x_seconds_sum 0.0
            x_seconds_count 6

            """)
    }

    @Test func everyMetricHoldsToTheGrammarOfBothFormats() {
        let page = MetricPage(seriesMax: 1000)
        _ = registry.label(.route, "r\n\"\\ü")
        for metric in Metric.allCases {
            for label in [UInt16(0), 1, 9999] {
                if metric.shape == .counter { page.add(metric, label, label, label, 3, by: 5) } else { page.observe(metric, label, label, nanoseconds: UInt64(label) << 30) }
            }
        }
        for format in [Exposition.Format.prometheus, .openMetrics] {
            let found = MetricsText(text([page, page], format), openMetrics: format == .openMetrics)
            #expect(found.faults == [])
            #expect(found.types.count == Metric.allCases.count)
            #expect(found.samples["openclaw_overhead_seconds_count{route_id=\"r\n\"\\ü\"}"] == 2)
        }
    }

    @Test func seriesThatReadTheSameAreAddedUp() {
        let page = MetricPage(seriesMax: 1000)
        let upstream = registry.label(.upstream, "other")
        page.add(.upstreamErrors, upstream, 0, UInt16(ErrorClass.network.rawValue))
        page.add(.upstreamErrors, upstream, 0, UInt16(ErrorClass.tls.rawValue))
        page.add(.tokens, upstream, 0, 99)
        page.add(.tokens, 0, 0, 0, MetricPage.overflowMark)
        let found = MetricsText(text([page]), openMetrics: false)
        #expect(found.faults == [])
        #expect(found.samples["openclaw_upstream_errors_total{upstream_name=\"other\",model=\"other\",class=\"network\"}"] == 2)
        #expect(found.samples["openclaw_tokens_total{upstream_name=\"other\",model_name=\"other\",kind=\"other\"}"] == 2)
    }

    @Test func seriesBeyondTheCapAreCountedUnderOther() {
        let page = MetricPage(seriesMax: 10)
        for label in 0..<10_000 as Range<UInt16> {
            page.add(.upstreamRequests, 0, 0, label)
            page.add(.requests, 0, label, 0)
            page.observe(.overhead, label, nanoseconds: 1)
        }
        let found = MetricsText(text([page]), openMetrics: false)
        #expect(found.faults == [])
        #expect(claw_word_load(page.overflow) == 1)
        // Three metrics shared the ten places; each has one more for the rest, and nothing was lost.
        let requests = found.samples.filter { $0.key.hasPrefix("openclaw_requests_total") }
        #expect(requests.values.reduce(0, +) == 10_000)
        #expect(requests["openclaw_requests_total{route_id=\"other\",status=\"other\",method=\"other\"}"] == 10_000 - Double(requests.count - 1))
        #expect(found.samples.filter { $0.key.hasPrefix("openclaw_overhead_seconds_count") }.values.reduce(0, +) == 10_000)
        var series = 0
        page.forEach { _, _, _ in series += 1 }
        #expect(series == 13)
    }

    @Test(arguments: [
        (nil, false), ("*/*", false), ("text/plain", false), ("application/openmetrics-text", true),
        ("application/openmetrics-text; version=1.0.0; q=0.5, text/plain;q=0.1", true), ("Application/OpenMetrics-Text;q=0.01", true),
        ("application/openmetrics-text;q=0", false), ("application/openmetrics-text;q=0.000,text/plain", false), ("x-application/openmetrics-text", false),
    ])
    func acceptChoosesTheFormat(_ accept: String?, _ isOpenMetrics: Bool) {
        #expect((Exposition.Format(accept: accept) == .openMetrics) == isOpenMetrics)
    }
}
