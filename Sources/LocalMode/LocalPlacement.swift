public import CASACore
public import Sidecar

/// Where a system that was declared for a cluster stands on this machine.
public struct LocalPlacement: Sendable, Hashable {
  /// Where the runtime listens.
  public var runtime: ListenAddress
  /// The first of the ports on which the sidecars listen: see `LocalPorts`.
  public var firstPort: Int
  /// Where apps listen here, for those that do not listen on the port of their container.
  public var appPorts: [Name: Int]
  /// What stands for the LLM; nil for the LLM itself.
  public var llm: HTTPEndpoint?
  /// The file with the LLM's API key, in place of the Secret that the system names.
  public var llmAPIKeyFile: String?

  public init(
    runtime: ListenAddress, firstPort: Int = LocalPorts.standardFirst, appPorts: [Name: Int] = [:],
    llm: HTTPEndpoint? = nil, llmAPIKeyFile: String? = nil
  ) {
    self.runtime = runtime
    self.firstPort = firstPort
    self.appPorts = appPorts
    self.llm = llm
    self.llmAPIKeyFile = llmAPIKeyFile
  }
}

/// The ports of the sidecars. Each app has a hundred, in the order in which the system names its apps: on the first it
/// is called, on the `k`-th after that it calls the system's `k`-th app, on the 90th the LLM. So a port depends on
/// nothing but the apps' order: what a policy gives or takes moves none of the others.
public struct LocalPorts: Sendable, Hashable {
  public static let standardFirst = 9100
  private static let perApp = 100
  private static let llm = 90
  private static let guardMetrics = 99

  let first: Int

  /// Of the `app`-th app, counted from 0.
  func entrance(of app: Int) -> Int { first + app * Self.perApp }
  func way(from app: Int, to callee: Int) -> Int { entrance(of: app) + callee + 1 }
  func wayToLLM(from app: Int) -> Int { entrance(of: app) + Self.llm }
  /// Where the node guard says how it is.
  var guardMetrics: Int { first + Self.guardMetrics }
}
