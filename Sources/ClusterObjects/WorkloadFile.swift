import AgentProtocols
public import CASACore
public import CustomResources
public import Sidecar

/// The `workload.yaml` of one app: what `casa authorize` and `casa sidecar` read of it. JSON, which is YAML.
public struct WorkloadFile: Sendable, Hashable {
  public let text: String

  /// The keys of the Secret that holds it, and the secrets that it names.
  public enum Key {
    public static let workload = "workload.yaml"
    public static let clientSecret = "client-secret"
    public static let sidecarKey = "sidecar-key"
    public static let llmAPIKey = "llm-api-key"
  }

  /// The Secret of the workload `name`, in its namespace.
  public static func secretName(of workload: String) -> String { "casa-workload-" + workload }

  /// - Parameter clientID: what the app is at the runtime.
  /// - Throws: `ConfigurationError` when its readers would refuse it, as they do when two destinations have one name.
  public init(
    of app: ResolvedApp, in system: ResolvedSystem, clientID: AppID, settings: ClusterSettings
  ) throws(ConfigurationError) {
    let namespace = system.object.metadata.namespace
    let directory = Self.directory(of: app, settings)
    let path = { (key: String) in JSONValue.string(directory + "/" + key) }
    var members: [String: JSONValue] = [
      "runtime": .string("http://\(settings.hostName(of: settings.runtime)):\(settings.runtime.port)"),
      "client_id": .string(clientID.rawValue), "client_secret_file": path(Key.clientSecret),
      "sidecar_key_file": path(Key.sidecarKey), "intercept": [:],
    ]
    switch settings.mode {
    case .cilium:
      members["authorization"] = "unix:/run/casa/authorization.sock"
      members["adapter"] = .string(Workload.Adapter.module.rawValue)
    case .istio:
      // The one `casa authorize` of the namespace; who reaches it is Istio's to say, by mutual TLS.
      members["authorization"] = .string("0.0.0.0:\(ClusterSettings.authorizationPort)")
      members["adapter"] = .string(Workload.Adapter.grpc.rawValue)
    }
    if app.isCallable, let entrance = app.app.entrance {
      members["ingress"] = ["app": .string("http://127.0.0.1:\(entrance.containerPort)\(entrance.path)")]
    }
    var egress = app.calls.map { call -> JSONValue in
      let service = call.entrance.service
      return [
        "destination": .string(call.app.text),
        "url": .string("http://\(settings.hostName(of: service)):\(service.port)\(call.entrance.path)"),
        "aliases": .texts(settings.hostNames(of: service, from: namespace).dropLast()),
      ]
    }
    if let llm = app.llm {
      var way: [String: JSONValue] = ["llm": true, "url": .string(llm.url)]
      if llm.apiKey != nil { way["api_key_file"] = path(Key.llmAPIKey) }
      if let service = llm.service(from: namespace, settings: settings) {
        way["aliases"] = .texts(settings.hostNames(of: service, from: namespace).filter { $0 != llm.host })
      }
      egress.append(.object(way))
    }
    if !egress.isEmpty { members["egress"] = .array(egress) }
    // How the app itself is asked for something the runtime says; how it asks others it must know.
    if let prompt = app.callsPromptJSONPath { members["prompt_json_path"] = .string(prompt) }
    text = JSONValue.object(members).canonicalText
    _ = try Workload(yaml: text, relativeTo: directory)
  }

  /// Where the Secret is mounted.
  static func directory(of app: ResolvedApp, _ settings: ClusterSettings) -> String {
    switch settings.mode {
    case .cilium: "/etc/casa"
    case .istio: "/etc/casa/" + (app.app.workloadName ?? app.app.name.text)
    }
  }
}
