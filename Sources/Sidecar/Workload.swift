public import AgentProtocols
public import CASACore
import Foundation
import Yams

/// One workload as its sidecar and its authorization service know it: who it is, where it listens, whom it may
/// call. One YAML file.
public struct Workload: Sendable, Hashable {
  /// The runtime's base URL.
  public let runtime: HTTPEndpoint
  public let clientID: AppID
  public let clientSecretFile: String
  /// Where `casa authorize` listens.
  public let authorization: ListenAddress
  /// Holds a random key by which the authorization service knows this sidecar.
  public let sidecarKeyFile: String
  /// nil for an app that nobody calls.
  public let ingress: Ingress?
  public let egress: [Egress]
  /// Where a client's request carries the user's input, when it is not an A2A message.
  public let promptJSONPath: JSONPath?

  /// Where the workload is called.
  public struct Ingress: Sendable, Hashable {
    public let listen: ListenAddress
    /// The app itself; its path is the only one let through.
    public let app: HTTPEndpoint
  }

  /// One destination the workload may call, at an address of its own.
  public struct Egress: Sendable, Hashable {
    public enum Destination: Sendable, Hashable {
      /// An app of the same MAS, by name.
      case app(Name)
      /// The LLM, with the file that holds its API key when the sidecar keeps it.
      case llm(apiKeyFile: String?)
    }

    public let listen: ListenAddress
    public let destination: Destination
    public let url: HTTPEndpoint
  }
}

/// A workload's file is not as it must be.
public struct WorkloadError: Error, Sendable, Hashable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}

extension Workload {
  private static let maximumBytes = 65_536

  /// - Throws: `WorkloadError`
  public static func load(path: String) throws(WorkloadError) -> Workload {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw WorkloadError("\(path) can't be read")
    }
    guard data.count <= maximumBytes, let text = String(data: data, encoding: .utf8) else {
      throw WorkloadError("\(path) must be UTF-8 of at most \(maximumBytes) bytes")
    }
    do {
      return try Workload(yaml: text, relativeTo: URL(fileURLWithPath: path).deletingLastPathComponent().path)
    } catch {
      throw WorkloadError("\(path): \(error)")
    }
  }

  /// - Parameter directory: what relative paths of files are relative to.
  /// - Throws: `WorkloadError` that names the line and the key.
  public init(yaml: String, relativeTo directory: String) throws(WorkloadError) {
    let root: Node?
    do {
      root = try Yams.compose(yaml: yaml)
    } catch {
      throw WorkloadError("it is not YAML: \(error)")
    }
    guard let root else { throw WorkloadError("it is empty; `runtime`, `client_id` and more are expected") }
    let fields = try Fields(
      root, of: "a workload",
      known: [
        "runtime", "client_id", "client_secret_file", "authorization", "sidecar_key_file", "ingress", "egress",
        "prompt_json_path",
      ])
    func path(_ text: String) -> String? { text.hasPrefix("/") ? text : directory + "/" + text }
    runtime = try fields.required("runtime", "an http or https URL") { HTTPEndpoint($0) }
    clientID = try fields.required("client_id", "the app's id") { AppID(validating: $0) }
    clientSecretFile = try fields.required("client_secret_file", "a path", path)
    authorization = try fields.required("authorization", "unix:/path or host:port") { ListenAddress($0) }
    sidecarKeyFile = try fields.required("sidecar_key_file", "a path", path)
    promptJSONPath = try fields.optional("prompt_json_path", "a path such as $.prompt") { JSONPath($0) }
    if let node = fields["ingress"] {
      let fields = try Fields(node, of: "ingress", known: ["listen", "app"])
      ingress = Ingress(
        listen: try fields.required("listen", "an IP address and a port", Self.listener),
        app: try fields.required("app", "an http URL") { HTTPEndpoint($0) })
    } else {
      ingress = nil
    }
    var egress: [Egress] = []
    if let node = fields["egress"] {
      guard let list = node.sequence else { throw WorkloadError("line \(node.line): `egress` must be a list") }
      for element in list {
        let fields = try Fields(
          element, of: "an egress", known: ["listen", "destination", "llm", "url", "api_key_file"])
        let name = try fields.optional("destination", "the name of an app") { Name($0) }
        let isLLM = try fields.optional("llm", "true") { $0 == "true" ? true : nil } ?? false
        let key = try fields.optional("api_key_file", "a path", path)
        let destination: Egress.Destination
        switch (name, isLLM) {
        case (let name?, false) where key == nil: destination = .app(name)
        case (nil, true): destination = .llm(apiKeyFile: key)
        default:
          throw WorkloadError(
            "line \(element.line): an egress has either `destination` or `llm: true`, and `api_key_file` only with llm")
        }
        egress.append(
          Egress(
            listen: try fields.required("listen", "an IP address and a port", Self.listener),
            destination: destination, url: try fields.required("url", "an http or https URL") { HTTPEndpoint($0) }))
      }
    }
    self.egress = egress
    let listeners = egress.map(\.listen) + (ingress.map { [$0.listen] } ?? [])
    guard Set(listeners).count == listeners.count else {
      throw WorkloadError("two listeners have the same address")
    }
  }

  /// A literal address: a name could resolve to another one than was meant.
  private static func listener(_ text: String) -> ListenAddress? {
    guard case .tcp(let host, let port) = ListenAddress(text) else { return nil }
    let isIPv4 =
      host.split(separator: ".", omittingEmptySubsequences: false).count == 4
      && host.split(separator: ".").allSatisfy { UInt8($0) != nil }
    guard isIPv4 || host.contains(":") else { return nil }
    return .tcp(host: host, port: port)
  }

  /// The members of one YAML mapping, all of them known.
  private struct Fields {
    private var nodes: [String: Node] = [:]
    private let line: Int

    init(_ node: Node, of what: String, known: Set<String>) throws(WorkloadError) {
      guard let mapping = node.mapping else { throw WorkloadError("line \(node.line): \(what) must be a mapping") }
      line = node.line
      for (key, value) in mapping {
        guard let name = key.string, known.contains(name) else {
          throw WorkloadError(
            "line \(key.line): \(what) has no `\(key.string ?? "?")`; known are \(known.sorted().joined(separator: ", "))")
        }
        guard nodes.updateValue(value, forKey: name) == nil else {
          throw WorkloadError("line \(key.line): `\(name)` is given twice")
        }
      }
    }

    subscript(name: String) -> Node? { nodes[name] }

    func required<Value>(
      _ name: String, _ expected: String, _ read: (String) -> Value?
    ) throws(WorkloadError) -> Value {
      guard let value = try optional(name, expected, read) else {
        throw WorkloadError("line \(line): `\(name)` is missing; expected \(expected)")
      }
      return value
    }

    func optional<Value>(
      _ name: String, _ expected: String, _ read: (String) -> Value?
    ) throws(WorkloadError) -> Value? {
      guard let node = nodes[name] else { return nil }
      guard let value = node.scalar.flatMap({ read($0.string) }) else {
        throw WorkloadError("line \(node.line): `\(name)` must be \(expected)")
      }
      return value
    }
  }
}

extension Node {
  fileprivate var line: Int { mark?.line ?? 0 }
}

extension WorkloadError {
  public static let differentAddresses = WorkloadError(
    "the workloads of one authorization service must all name the same `authorization` address")
  public static func notASocket(_ path: String) -> WorkloadError {
    WorkloadError("\(path) is there and is not a socket; remove it or choose another `authorization`")
  }
  public static func socketInUse(_ path: String) -> WorkloadError {
    WorkloadError("another authorization service answers on \(path)")
  }
}
