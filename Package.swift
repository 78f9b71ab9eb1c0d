// swift-tools-version: 6.1
import PackageDescription

// The house, bottom up: CScan and CClaw (C) ← ClawWire ← ClawDialect, ClawPolicy ← ClawConfig, ClawEngine ← ClawLoad ← openclaw.
// Tests/Integration/test_house.py holds the table in ARCHITECTURE.md against the imports and this file.

let engineSettings: [SwiftSetting] = [
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

let package = Package(
    name: "openclaw-gateway",
    products: [
        .executable(name: "openclaw", targets: ["openclaw"]),
        // For Benchmarks/; no interface that anybody else may count on.
        .library(name: "EngineForBenchmarks", targets: ["ClawWire", "ClawDialect", "ClawPolicy", "ClawConfig", "ClawEngine"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .target(
            name: "CScan",
            cSettings: [.unsafeFlags(["-O3"])]
        ),
        .target(
            name: "CClaw",
            cSettings: [.define("_GNU_SOURCE"), .unsafeFlags(["-O2"])],
            linkerSettings: [.linkedLibrary("uring"), .linkedLibrary("ssl"), .linkedLibrary("crypto"), .linkedLibrary("nghttp2")]
        ),
        .target(name: "ClawWire", dependencies: ["CScan"], swiftSettings: engineSettings),
        .target(name: "ClawDialect", dependencies: ["ClawWire"], swiftSettings: engineSettings),
        .target(name: "ClawPolicy", dependencies: ["ClawWire"], swiftSettings: engineSettings),
        .target(name: "ClawConfig", dependencies: ["ClawWire", "ClawDialect", "ClawPolicy", .product(name: "Yams", package: "Yams")]),
        .target(name: "ClawEngine", dependencies: ["CClaw", "CScan", "ClawWire", "ClawDialect", "ClawPolicy", "ClawConfig"], swiftSettings: engineSettings),
        .target(name: "ClawLoad", dependencies: ["CClaw", "ClawWire"], swiftSettings: engineSettings),
        .executableTarget(
            name: "openclaw",
            dependencies: [
                "ClawEngine", "ClawConfig", "ClawLoad", "CClaw",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),
        .testTarget(name: "CClawTests", dependencies: ["CClaw"]),
        .testTarget(name: "ClawWireTests", dependencies: ["ClawWire"]),
        .testTarget(name: "ClawDialectTests", dependencies: ["ClawDialect", "ClawWire"]),
        .testTarget(name: "ClawPolicyTests", dependencies: ["ClawPolicy", "ClawWire"]),
        .testTarget(name: "ClawConfigTests", dependencies: ["ClawConfig"], exclude: ["Golden"]),
        .testTarget(name: "ClawEngineTests", dependencies: ["ClawEngine", "ClawLoad", "ClawWire", "ClawConfig", "CClaw"]),
        .testTarget(name: "SimulationTests", dependencies: ["ClawEngine", "ClawPolicy", "CScan", "ClawWire", "ClawConfig", "CClaw"]),
        .testTarget(name: "ClawLoadTests", dependencies: ["ClawLoad", "ClawWire", "CClaw"]),
    ],
    swiftLanguageModes: [.v6]
)
