// swift-tools-version: 6.2
import PackageDescription

// What reads bytes from outside, so that it can be built with libFuzzer and AddressSanitizer apart from everything
// else, without any networking. The sources are links to those of the main package.
//
// Built with `--sanitize fuzzer`, by which `main` is libFuzzer's. AddressSanitizer comes by these flags: given twice,
// `--sanitize` becomes two flags in an order that differs from run to run, of which the compiler follows the last.
let sanitizers = ["-sanitize=fuzzer,address"]
let settings: [SwiftSetting] = [
  .unsafeFlags(sanitizers),
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
  name: "casa-fuzzing",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    .executableTarget(
      name: "FuzzParsers",
      dependencies: [
        "AgentProtocols", "CASACore", "CNodeGuard", "Controller", "CustomResources", "Enforcement",
        "EnvoyAuthorization",
        "Injection", "IntentChecks", "NodeGuard", "TextEmbedding", "TokenService", "Traces",
      ],
      // libFuzzer brings `main`.
      swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])],
      linkerSettings: [.unsafeFlags(sanitizers)]),
    // Single files of that module: those that need no NIO.
    .target(
      name: "EnvoyAuthorization",
      dependencies: ["AgentProtocols", "CASACore", "Enforcement", .product(name: "Crypto", package: "swift-crypto")],
      swiftSettings: settings),
    // That module without its server and its certificates.
    .target(
      name: "Injection", dependencies: ["AgentProtocols", "CASACore", "CustomResources", "Sidecar"],
      swiftSettings: settings + [.unsafeFlags(["-enable-testing"])]),
    .target(
      name: "CustomResources",
      dependencies: [
        "AgentProtocols", "CASACore", .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: settings),
    // Single files of that module: those that injection and validation of pods go by.
    .target(name: "Sidecar", dependencies: ["AgentProtocols", "CASACore"], swiftSettings: settings),
    // Single files of that module: those that need neither the kernel nor a disk.
    .target(
      name: "NodeGuard",
      dependencies: [
        "AgentProtocols", "CASACore", "CNodeGuard", .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "SystemPackage", package: "swift-system"), .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: settings),
    // The kernel's structures alone.
    .target(name: "CNodeGuard"),
    // Single files of that module: those that need no storage.
    .target(name: "TokenService", dependencies: ["CASACore"], swiftSettings: settings),
    // Single files of that module: those that need no storage.
    .target(
      name: "Traces", dependencies: ["CASACore"], swiftSettings: settings + [.unsafeFlags(["-enable-testing"])]),
    // Single files of that module: those that need no network.
    .target(
      name: "IntentChecks",
      dependencies: ["AgentProtocols", "CASACore", "TextEmbedding"],
      swiftSettings: settings + [.unsafeFlags(["-enable-testing"])]),
    // Single files of that module: those that need no network.
    .target(
      name: "Controller",
      dependencies: ["AgentProtocols", "CASACore"],
      swiftSettings: settings + [.unsafeFlags(["-enable-testing"])]),
    // Single files of that module: those that need no linear algebra.
    .target(
      name: "TextEmbedding",
      dependencies: ["AgentProtocols", "CASACore"],
      swiftSettings: settings + [.unsafeFlags(["-enable-testing"])]),
    .target(
      name: "Enforcement",
      dependencies: ["AgentProtocols", "CASACore", .product(name: "Crypto", package: "swift-crypto")],
      swiftSettings: settings),
    .target(
      name: "AgentProtocols",
      dependencies: ["CASACore", .product(name: "Crypto", package: "swift-crypto")],
      swiftSettings: settings),
    .target(
      name: "CASACore",
      dependencies: [.product(name: "Logging", package: "swift-log")],
      swiftSettings: settings),
  ]
)
