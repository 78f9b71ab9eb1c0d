// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that whoever builds the gateway needs none of this. Targets lie directly under Benchmarks/, which is where the
// benchmark plugin looks for them.
let package = Package(
    name: "openclaw-benchmarks",
    dependencies: [
        .package(name: "openclaw-gateway", path: ".."),
        // No traits: the malloc interposer is not wanted; what may not allocate is checked by the compiler (@_noAllocation).
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "Support", dependencies: [.product(name: "Benchmark", package: "benchmark")], path: "Support"),
        .executableTarget(
            name: "Wire",
            dependencies: [
                "Support", .product(name: "Benchmark", package: "benchmark"), .product(name: "EngineForBenchmarks", package: "openclaw-gateway"),
            ],
            path: "Wire",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
        .executableTarget(
            name: "Engine",
            dependencies: [
                "Support", .product(name: "Benchmark", package: "benchmark"), .product(name: "EngineForBenchmarks", package: "openclaw-gateway"),
            ],
            path: "Engine",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
        .executableTarget(
            name: "Dialect",
            dependencies: [
                "Support", .product(name: "Benchmark", package: "benchmark"), .product(name: "EngineForBenchmarks", package: "openclaw-gateway"),
            ],
            path: "Dialect",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        ),
    ],
    swiftLanguageModes: [.v6]
)
