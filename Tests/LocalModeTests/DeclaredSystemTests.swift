import AgentProtocols
import CASACore
import CustomResources
import Foundation
import NodeGuard
import Sidecar
import Testing

@testable import LocalMode

/// The files that the tutorial uses.
enum Banking {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("examples/kubernetes/banking")

  static func text() throws -> String {
    try ["mas.yaml", "policy.yaml"].map { name in
      try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
    }.joined(separator: "\n---\n")
  }

  /// The files, in which `old` reads `new`.
  static func resources(_ old: String = "", _ new: String = "") throws -> [Resource] {
    let text = try text()
    let changed = old.isEmpty ? text : text.replacing(old, with: new)
    #expect(old.isEmpty || changed != text)
    return try Resource.read(yaml: changed)
  }

  static func system(
    _ old: String = "", _ new: String = "", change: (inout LocalPlacement) -> Void = { _ in }
  ) throws -> LocalSystem {
    var placement = LocalPlacement(runtime: .loopback(8700))
    change(&placement)
    return try LocalSystem(resolved: DeclaredSystem(resources(old, new)).resolved, at: placement)
  }

  /// Every address of a sidecar, by what it is for.
  static func addresses(_ system: LocalSystem) -> [String: String] {
    var addresses: [String: String] = [:]
    for app in system.apps {
      addresses[app.name.text] = app.entrance?.listen.description
      for call in app.calls {
        let callee =
          switch call.destination {
          case .app(let name): name.text
          case .llm: "llm"
          }
        addresses["\(app.name)->\(callee)"] = call.listen.description
      }
    }
    return addresses
  }
}

@Suite("A system that is declared for a cluster, on one machine,")
struct DeclaredSystemTests {
  @Test("has the ports that the documentation tells")
  func ports() throws {
    let system = try Banking.system()
    #expect(
      Banking.addresses(system) == [
        "agent": "127.0.0.1:9200", "bank": "127.0.0.1:9300", "client->agent": "127.0.0.1:9102",
        "agent->bank": "127.0.0.1:9203", "agent->llm": "127.0.0.1:9290",
      ])
    #expect(system.apps[1].entrance?.app.description == "http://127.0.0.1:8100/")
    #expect(system.apps[2].entrance?.url == "http://127.0.0.1:9300/mcp")
    #expect(system.apps[0].entrance == nil)
  }

  @Test("lets an app call only whom its policy names, and moves no other address for it")
  func policyDecides() throws {
    let all = Banking.addresses(try Banking.system())
    let without = Banking.addresses(
      try Banking.system("- {name: bank, namespace: banking, port: 8101}", "- {name: mail, port: 25}"))
    #expect(without == all.filter { $0.key != "agent->bank" })
    let noLLM = Banking.addresses(try Banking.system("llmEndpoint: {fqdn: api.openai.com, port: 443}", "dns: {}"))
    #expect(noLLM == all.filter { $0.key != "agent->llm" })
  }

  @Test("takes everything that the runtime is told from its object")
  func settings() throws {
    let system = try Banking.system(
      "llm_host:", "allowUndecided: true\n  intent: {strategy: embeddings}\n  llm_host:")
    #expect(system.checks == Set(CheckName.allCases) && system.allowUndecided == true)
    #expect(system.intent?["strategy"]?.string == "embeddings")
    let methods = try Banking.system(
      "type: mcp_server", "type: mcp_server\n      allowedMethods: [resources/read]")
    #expect(methods.apps.map(\.allowedMethods) == [nil, nil, ["resources/read"]])
    // What another system of the same name was told before must not stay.
    let plain = try Banking.system()
    #expect(plain.intent == [:] && plain.allowUndecided == false)
  }

  @Test("has a client read the user's words where the agent it calls expects them")
  func promptPath() throws {
    let schema = "type: agent\n      httpRequestSchema: {promptFieldJsonPath: $.prompt}"
    let text = try Banking.text().replacing("type: agent", with: schema).replacing("[a2a", with: "[http")
    let declared = try DeclaredSystem(Resource.read(yaml: text))
    let system = try LocalSystem(resolved: declared.resolved, at: LocalPlacement(runtime: .loopback(8700)))
    #expect(system.apps.map(\.promptJSONPath) == [nil, "$.prompt", nil])
    #expect(system.apps.map(\.callsPromptJSONPath) == ["$.prompt", nil, nil])
  }

  @Test("can have its LLM stood for, and keeps the key for a Secret only")
  func llm() throws {
    let other = try Banking.system {
      $0.llm = HTTPEndpoint("http://127.0.0.1:8102/v1")
      $0.llmAPIKeyFile = "/key"
    }
    let destinations = other.apps[1].calls.map(\.destination)
    let standIn = try #require(HTTPEndpoint("http://127.0.0.1:8102/v1"))
    #expect(destinations.contains(.llm(standIn, apiKeyFile: "/key")))
    let noSecret = try Banking.system("llm:\n    apiKeySecret: {name: llm-api-key, key: api-key}\n", "\n") {
      $0.llmAPIKeyFile = "/key"
    }
    let itself = try #require(HTTPEndpoint("https://api.openai.com/v1"))
    #expect(noSecret.apps[1].calls.map(\.destination).contains(.llm(itself, apiKeyFile: nil)))
  }

  @Test(
    "is refused when two would listen on one port",
    arguments: [
      ("agent:8100", "agent:8700", 9100, "the runtime and the app agent", "--app-port agent="),
      ("bank:8101", "bank:8100", 9100, "the app agent and the app bank", "--app-port bank="),
      ("", "", 7998, "the app bank and the sidecar of agent", "--first-port"),
      ("", "", 65_450, "65549", "--first-port"),
    ])
  func collisions(_ old: String, _ new: String, first: Int, who: String, mend: String) throws {
    // The policy names the same Service.
    let text = try Banking.text()
    let name = old.split(separator: ":").first.map(String.init) ?? ""
    let port = new.split(separator: ":").last.map(String.init) ?? ""
    let changed =
      old.isEmpty
      ? text
      : text.replacing(old, with: new).replacing(
        "{name: \(name), namespace: banking, port: \(old.suffix(4))}",
        with: "{name: \(name), namespace: banking, port: \(port)}")
    let declared = try DeclaredSystem(Resource.read(yaml: changed))
    let placement = LocalPlacement(runtime: .loopback(8700), firstPort: first)
    do throws(ConfigurationError) {
      _ = try LocalSystem(resolved: declared.resolved, at: placement)
      Issue.record("it was taken")
    } catch {
      #expect(error.description.contains(who) && error.description.contains(mend), "\(error)")
    }
  }

  @Test("listens elsewhere where that is said, and nowhere for an app that is none")
  func appPorts() throws {
    let bank = try #require(Name("bank"))
    let system = try Banking.system { $0.appPorts = [bank: 18_101] }
    #expect(system.apps[2].entrance?.app.port == 18_101)
    let nobody = try #require(Name("nobody"))
    #expect(throws: ConfigurationError.self) { try Banking.system { $0.appPorts = [nobody: 1] } }
  }

  @Test(
    "is refused for what a cluster refuses, with the object and the reason",
    arguments: [
      ("fqdn: api.openai.com", "fqdn: evil.example.com", "CASAPolicy banking/agent: LLMMismatch"),
      ("name: bank}", "name: till}", "CASAPolicy banking/bank: TargetUnknown"),
      ("allowedProtocols: [mcp]", "allowedProtocols: [a2a]", "MultiAgentSystem banking/banking: ProtocolNotAllowed"),
      (
        "kind: Deployment, name: client}", "kind: Deployment, name: agent}",
        "CASAPolicy banking/client: TargetTaken"
      ),
    ])
  func refused(_ old: String, _ new: String, line: String) throws {
    let resources = try Banking.resources(old, new)
    do throws(DeclaredSystem.Failure) {
      _ = try DeclaredSystem(resources)
      Issue.record("it was taken")
    } catch {
      guard case .refused(let lines) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(lines.contains { $0.hasPrefix(line) }, "\(lines)")
    }
  }

  @Test("of an app without a policy is only warned")
  func noPolicy() throws {
    let resources = try Banking.resources().filter { resource in
      if case .policy(let policy) = resource { policy.target.name != "bank" } else { true }
    }
    let declared = try DeclaredSystem(resources)
    #expect(declared.warnings.count == 1 && declared.warnings[0].contains("NoPolicy"))
    #expect(try DeclaredSystem(Banking.resources()).warnings.isEmpty)
  }

  @Test("is one of several only when it is named")
  func several() throws {
    let other = try Banking.text().replacing("banking", with: "savings")
    let resources = try Banking.resources() + Resource.read(yaml: other)
    #expect(throws: DeclaredSystem.Failure.self) { try DeclaredSystem(resources) }
    #expect(throws: DeclaredSystem.Failure.self) { try DeclaredSystem(resources, named: "loans") }
    #expect(try DeclaredSystem(resources, named: "savings").resolved.object.metadata.reference == "savings/savings")
    #expect(try DeclaredSystem(resources, named: "banking/banking").resolved.object.name.text == "banking")
  }
}

@Suite("The node guard around a local system")
struct LocalNodeGuardTests {
  private func policy(_ system: LocalSystem) throws -> JSONValue {
    let ids = Dictionary(uniqueKeysWithValues: system.apps.map { ($0.name, AppID("app_\($0.name)")) })
    return LocalNodeGuard(cgroupRoot: "/cg", parent: "/casa-up/banking", pins: "/pins", metrics: .loopback(9199))
      .policy(of: system, ids: ids)
  }

  @Test("has a policy that the guard reads")
  func isRead() throws {
    let policy = try NodePolicy(parsing: Array(policy(Banking.system()).canonicalText.utf8))
    #expect(policy.workloads.count == 3)
    #expect(policy.guarded.count == 1)
  }

  @Test("lets an app reach its own sidecar's addresses and be called on its own port")
  func reach() throws {
    let json = try policy(Banking.system())
    let agent = json["workloads"]?.array?.first { $0["name"]?.string == "agent" }
    #expect(agent?["cgroup"]?.string == "/casa-up/banking/agent")
    #expect(
      agent?["outbound"] == [["to": "127.0.0.1", "ports": 9203], ["to": "127.0.0.1", "ports": 9290]])
    #expect(agent?["inbound"] == [["from": "127.0.0.0/8", "ports": 8100]])
    let bank = json["workloads"]?.array?.first { $0["name"]?.string == "bank" }
    #expect(bank?["outbound"] == [])
  }

  @Test("gives an app what tells it its sidecar's addresses, and never the LLM's key")
  func launch() throws {
    let system = try Banking.system { $0.llmAPIKeyFile = "/key" }
    let launch = AppLaunch(of: system.apps[1], in: system, guarded: nil)
    #expect(
      launch.environment == [
        "CASA_URL_BANK": "http://127.0.0.1:9203/mcp", "OPENAI_BASE_URL": "http://127.0.0.1:9290/v1",
        "OPENAI_API_KEY": "kept-by-the-sidecar",
      ])
    #expect(launch.cgroup == nil)
  }
}
