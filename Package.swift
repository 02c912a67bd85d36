// swift-tools-version: 6.2
import PackageDescription

// Every target is built the same way: Swift 6 language mode, warnings are errors, and imports that
// show what a public declaration really depends on.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

extension Target.Dependency {
  static let asyncHTTPClient = product(name: "AsyncHTTPClient", package: "async-http-client")
  static let crypto = product(name: "Crypto", package: "swift-crypto")
  static let grdb = product(name: "GRDB", package: "GRDB.swift")
  static let hummingbird = product(name: "Hummingbird", package: "hummingbird")
  static let hummingbirdCore = product(name: "HummingbirdCore", package: "hummingbird")
  static let httpTypes = product(name: "HTTPTypes", package: "swift-http-types")
  static let logging = product(name: "Logging", package: "swift-log")
  static let mustache = product(name: "Mustache", package: "swift-mustache")
  static let nioCore = product(name: "NIOCore", package: "swift-nio")
  static let nioHPACK = product(name: "NIOHPACK", package: "swift-nio-http2")
  static let nioHTTP1 = product(name: "NIOHTTP1", package: "swift-nio")
  static let nioHTTP2 = product(name: "NIOHTTP2", package: "swift-nio-http2")
  static let nioPosix = product(name: "NIOPosix", package: "swift-nio")
  static let nioSSL = product(name: "NIOSSL", package: "swift-nio-ssl")
  static let serviceLifecycle = product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
  static let subprocess = product(name: "Subprocess", package: "swift-subprocess")
  static let swiftProtobuf = product(name: "SwiftProtobuf", package: "swift-protobuf")
  static let system = product(name: "SystemPackage", package: "swift-system")
  static let swiftASN1 = product(name: "SwiftASN1", package: "swift-asn1")
  static let x509 = product(name: "X509", package: "swift-certificates")
  static let yams = product(name: "Yams", package: "Yams")
}

let package = Package(
  name: "casa",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "casa", targets: ["casa"]),
    // Envoy loads it as the dynamic module `casa_filter`.
    .library(name: "casa_filter", type: .dynamic, targets: ["SidecarFilter"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.5.1"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.0.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
  ],
  targets: [
    .executableTarget(
      name: "casa",
      dependencies: [
        "Administration", "AgentProtocols", "CASACore", "ClusterObjects", "Controller", "CustomResources", "Doctor",
        "EnvoyAuthorization",
        "Explorer", "Injection", "IntentChecks", "LocalMode", "NodeGuard", "PrivateFiles", "Prometheus", "RuntimeAPI",
        "Sidecar", "TokenService", "Traces", .asyncHTTPClient, .crypto, .logging, .nioCore, .nioHTTP1,
        .serviceLifecycle,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: settings),
    .target(
      name: "Administration",
      dependencies: ["AgentProtocols", "CASACore", .asyncHTTPClient, .nioCore, .nioHTTP1],
      swiftSettings: settings),
    .target(
      name: "Controller",
      dependencies: [
        "Administration", "AgentProtocols", "CASACore", "ClusterObjects", "CustomResources", "Injection",
        "IntentChecks",
        .asyncHTTPClient,
        .httpTypes, .hummingbird, .crypto, .logging, .nioCore, .nioHTTP1, .nioPosix, .nioSSL,
        .serviceLifecycle, .system, .yams,
      ],
      swiftSettings: settings),
    .target(
      name: "LocalMode",
      dependencies: [
        "Administration", "AgentProtocols", "CASACore", "CustomResources", "NodeGuard", "PrivateFiles", "Sidecar",
        .asyncHTTPClient, .crypto, .logging,
        .nioCore, .nioHTTP1, .nioPosix, .serviceLifecycle, .subprocess, .system, .yams,
      ],
      swiftSettings: settings),
    .target(
      name: "RuntimeAPI",
      dependencies: [
        "AgentProtocols", "CASACore", "HTTPServing", "IntentChecks", "PrivateFiles", "Storage", "TokenService",
        "Traces", .asyncHTTPClient, .hummingbird, .logging, .nioCore, .nioHTTP1, .serviceLifecycle,
      ],
      swiftSettings: settings),
    .target(
      name: "Explorer",
      dependencies: [
        "AgentProtocols", "CASACore", "Traces", .crypto, .httpTypes, .hummingbird, .logging, .mustache, .nioCore,
      ],
      resources: [.embedInCode("Assets"), .embedInCode("Templates")],
      swiftSettings: settings),
    .target(
      name: "CustomResources",
      dependencies: ["AgentProtocols", "CASACore", .crypto, .yams],
      swiftSettings: settings),
    .target(name: "Doctor", dependencies: ["CASACore"], swiftSettings: settings),
    .target(
      name: "ClusterObjects",
      dependencies: [
        "AgentProtocols", "CASACore", "CustomResources", "Enforcement", "NodeGuard", "Sidecar", .crypto, .yams,
      ],
      swiftSettings: settings),
    .target(
      name: "EnvoyAuthorization",
      dependencies: [
        "AgentProtocols", "CASACore", "Enforcement", "EventLoopExecution", "Prometheus", "Sidecar", .asyncHTTPClient,
        .crypto, .logging, .nioCore, .nioHPACK, .nioHTTP1, .nioHTTP2, .nioPosix, .serviceLifecycle, .swiftProtobuf,
      ],
      exclude: ["Protos"],
      swiftSettings: settings),
    .target(
      name: "Enforcement",
      dependencies: ["AgentProtocols", "CASACore", .crypto],
      swiftSettings: settings),
    .target(
      name: "Injection",
      dependencies: [
        "AgentProtocols", "CASACore", "CustomResources", "HTTPServing", "Sidecar", .crypto, .hummingbird, .logging,
        .nioCore, .nioSSL,
        .serviceLifecycle, .swiftASN1, .x509,
      ],
      swiftSettings: settings),
    .target(
      name: "Sidecar",
      dependencies: [
        "AgentProtocols", "CASACore", "Enforcement", "HTTPServing", "PrivateFiles", "Prometheus", .asyncHTTPClient,
        .hummingbird, .logging,
        .nioCore, .nioHPACK, .nioHTTP1, .nioHTTP2, .nioPosix, .nioSSL, .serviceLifecycle, .subprocess, .system, .yams,
      ],
      resources: [.embedInCode("Lua/casa.lua")],
      swiftSettings: settings),
    .target(
      name: "NodeGuard",
      dependencies: [
        "AgentProtocols", "CASACore", "CNodeGuard", "Prometheus", .asyncHTTPClient, .crypto, .logging, .nioCore,
        .nioHTTP1, .serviceLifecycle, .system, .yams,
      ],
      swiftSettings: settings),
    .target(
      name: "CNodeGuard",
      exclude: ["guard.bpf.o", "guard-bounded.bpf.o"],
      cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror", "-Wno-c23-extensions"])],
      // The archives, so that what is built runs where libbpf isn't installed.
      linkerSettings: [
        .linkedLibrary(":libbpf.a", .when(platforms: [.linux])),
        .linkedLibrary(":libelf.a", .when(platforms: [.linux])),
        .linkedLibrary(":libz.a", .when(platforms: [.linux])),
      ]),
    .target(
      name: "SidecarFilter",
      dependencies: ["AgentProtocols", "CASACore", "CEnvoyModule", "Enforcement"],
      exclude: ["hooks.map"],
      swiftSettings: settings,
      linkerSettings: [
        .unsafeFlags(
          [
            "-static-stdlib",
            "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/SidecarFilter/hooks.map",
            "-Xlinker", "--gc-sections", "-Xlinker", "-z", "-Xlinker", "now",
          ],
          .when(platforms: [.linux], configuration: .release))
      ]),
    .target(name: "CEnvoyModule"),
    .target(
      name: "TokenService",
      dependencies: [
        "AgentProtocols", "CASACore", "IntentChecks", "Storage", "Traces", .crypto, .logging,
      ],
      swiftSettings: settings),
    .target(
      name: "IntentChecks",
      dependencies: ["AgentProtocols", "CASACore", "TextEmbedding", .asyncHTTPClient, .nioCore, .nioPosix, .nioSSL],
      resources: [.embedInCode("Calibration/calibration.json")],
      swiftSettings: settings),
    .target(
      name: "Traces",
      dependencies: ["AgentProtocols", "CASACore", "Storage"],
      swiftSettings: settings),
    .target(
      name: "Storage",
      dependencies: ["CASACore", "CLibPQ", "PrivateFiles", .grdb, .logging],
      swiftSettings: settings),
    .target(name: "PrivateFiles", swiftSettings: settings),
    .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .target(
      name: "AgentProtocols",
      dependencies: ["CASACore", .crypto],
      swiftSettings: settings),
    .target(
      name: "TextEmbedding",
      dependencies: ["AgentProtocols", "CASACore", "COpenBLAS", "CQuantizedEncoder"],
      // Without optimization its loops take a hundred times as long, in every test that runs them.
      swiftSettings: settings + [.unsafeFlags(["-O"], .when(configuration: .debug))],
      // The archive, so that what is built runs where OpenBLAS isn't installed.
      linkerSettings: [.linkedLibrary(":libopenblas.a", .when(platforms: [.linux]))]),
    // What `make bench` compares with sentence-transformers.
    .executableTarget(
      name: "TimedEncoder",
      dependencies: ["AgentProtocols", "CASACore", "TextEmbedding"],
      path: "Benchmarks/TimedEncoder",
      swiftSettings: settings),
    // What `make bench` compares with pgbench.
    .executableTarget(
      name: "TimedStorage",
      dependencies: ["Storage", .logging],
      path: "Benchmarks/TimedStorage",
      swiftSettings: settings),
    // Fills a database with traces, and asks it what the Explorer asks.
    .executableTarget(
      name: "TimedTraces",
      dependencies: ["CASACore", "Storage", "Traces", .logging],
      path: "Benchmarks/TimedTraces",
      swiftSettings: settings),
    .target(
      name: "CQuantizedEncoder",
      cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"]), .unsafeFlags(["-O2"], .when(configuration: .debug))]),
    .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-pthread-dev"])]),
    .target(
      name: "HTTPServing",
      dependencies: ["EventLoopExecution", .hummingbirdCore, .logging, .nioCore, .nioHTTP1],
      swiftSettings: settings),
    .target(
      name: "Prometheus",
      dependencies: [.hummingbird, .logging, .nioCore, .serviceLifecycle],
      swiftSettings: settings),
    .target(
      name: "EventLoopExecution",
      dependencies: [.nioCore],
      swiftSettings: settings),
    .target(
      name: "CASACore",
      dependencies: [.logging],
      swiftSettings: settings),
    .testTarget(name: "DoctorTests", dependencies: ["CASACore", "Doctor"], swiftSettings: settings),
    .testTarget(
      name: "CustomResourcesTests", dependencies: ["CASACore", "CustomResources"], swiftSettings: settings),
    .testTarget(
      name: "ClusterObjectsTests",
      dependencies: ["AgentProtocols", "CASACore", "ClusterObjects", "CustomResources", "NodeGuard", "Sidecar"],
      swiftSettings: settings),
    .testTarget(
      name: "LocalModeTests",
      dependencies: ["AgentProtocols", "CASACore", "CustomResources", "LocalMode", "NodeGuard", "Sidecar"],
      swiftSettings: settings),
    .testTarget(
      name: "AgentProtocolsTests",
      dependencies: ["AgentProtocols", "CASACore", "SeededRandom"],
      swiftSettings: settings),
    .testTarget(
      name: "CASACoreTests",
      dependencies: ["CASACore"],
      swiftSettings: settings),
    .target(name: "SeededRandom", path: "Tests/SeededRandom", swiftSettings: settings),
    .target(
      name: "TestPostgres",
      dependencies: ["CLibPQ", "Storage", .logging],
      path: "Tests/TestPostgres",
      swiftSettings: settings),
    .testTarget(
      name: "StorageTests",
      dependencies: ["CASACore", "PrivateFiles", "Storage", "TestPostgres", .logging],
      swiftSettings: settings),
    .testTarget(
      name: "TracesTests",
      dependencies: ["AgentProtocols", "CASACore", "Storage", "TestPostgres", "Traces", .logging],
      swiftSettings: settings),
    .testTarget(
      name: "IntentChecksTests",
      dependencies: [
        "AgentProtocols", "CASACore", "IntentChecks", "SeededRandom", "TextEmbedding", .asyncHTTPClient, .nioCore,
        .nioHTTP1, .nioPosix,
        .nioSSL,
      ],
      swiftSettings: settings),
    .testTarget(
      name: "TextEmbeddingTests",
      dependencies: ["CQuantizedEncoder", "TextEmbedding"],
      exclude: ["golden"],
      swiftSettings: settings),
    .testTarget(
      name: "TokenServiceTests",
      dependencies: [
        "AgentProtocols", "CASACore", "IntentChecks", "SeededRandom", "Storage", "TestPostgres", "TokenService",
        "Traces", .crypto,
        .logging,
      ],
      swiftSettings: settings),
    .testTarget(
      name: "SidecarFilterTests",
      dependencies: ["AgentProtocols", "CASACore", "CEnvoyModule", "Enforcement", "SidecarFilter"],
      swiftSettings: settings),
    .testTarget(
      name: "SidecarTests",
      dependencies: ["AgentProtocols", "CASACore", "Sidecar"],
      swiftSettings: settings),
    .testTarget(
      name: "InjectionTests",
      dependencies: ["AgentProtocols", "CASACore", "Injection", "Sidecar", .crypto, .swiftASN1, .x509],
      swiftSettings: settings),
    .testTarget(
      name: "EnvoyAuthorizationTests",
      dependencies: [
        "AgentProtocols", "CASACore", "Enforcement", "EnvoyAuthorization", "Sidecar", .asyncHTTPClient, .logging,
        .nioCore, .nioHPACK, .nioHTTP2, .nioPosix, .swiftProtobuf,
      ],
      swiftSettings: settings),
    .testTarget(
      name: "NodeGuardTests",
      dependencies: ["AgentProtocols", "CASACore", "CNodeGuard", "NodeGuard", "SeededRandom", .crypto],
      swiftSettings: settings),
    .testTarget(
      name: "ExplorerTests",
      dependencies: ["CASACore", "Explorer", "Traces", .httpTypes, .hummingbird, .logging, .nioCore],
      swiftSettings: settings),
    .testTarget(
      name: "ControllerTests",
      dependencies: ["AgentProtocols", "CASACore", "Controller"],
      swiftSettings: settings),
    // Does with the Kubernetes client what it reads on standard input, for the tests against API servers.
    .executableTarget(
      name: "KubernetesProbe",
      dependencies: [
        "AgentProtocols", "CASACore", "Controller", .asyncHTTPClient, .logging,
      ],
      path: "Tests/KubernetesProbe",
      swiftSettings: settings),
    // Serves the Explorer over data from a file, for the tests in a browser.
    .executableTarget(
      name: "ExplorerFixture",
      dependencies: [
        "AgentProtocols", "CASACore", "Explorer", "Traces", .httpTypes, .hummingbird, .logging, .nioCore,
      ],
      path: "Tests/ExplorerFixture",
      swiftSettings: settings),
    .testTarget(
      name: "PrometheusTests",
      dependencies: ["Prometheus"],
      swiftSettings: settings),
    .testTarget(
      name: "EnforcementTests",
      dependencies: ["AgentProtocols", "CASACore", "Enforcement"],
      swiftSettings: settings),
  ]
)
