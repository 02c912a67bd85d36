import ArgumentParser
import CASACore
import CustomResources
import Foundation
import LocalMode
import Sidecar

/// How a system that objects declare for a cluster is put onto this machine.
struct PlacementOptions: ParsableArguments {
  /// The environment variable with the LLM's API key.
  static let keyVariable = "CASA_LLM_API_KEY"

  @Option(
    name: .customLong("system"),
    help: ArgumentHelp("Which system, when the files hold several.", valueName: "namespace/name"))
  var systemName: String?

  @Option(name: .shortAndLong, help: "The namespace of objects that name none. (default: default)")
  var namespace: String?

  @Option(help: ArgumentHelp("Where the runtime listens. (default: 127.0.0.1:8700)", valueName: "ip:port"))
  var runtime: String?

  @Option(
    help: ArgumentHelp(
      "The first port of the sidecars, which take a hundred for each app. (default: \(LocalPorts.standardFirst))",
      valueName: "port"))
  var firstPort: Int?

  @Option(
    help: ArgumentHelp(
      "Where an app listens here, when not on its containerPort; may be given several times.", valueName: "app=port"))
  var appPort: [String] = []

  @Option(
    help: ArgumentHelp("What stands for the LLM here, in place of the one that the system names.", valueName: "url"))
  var llmURL: String?

  @Option(
    help: ArgumentHelp(
      "The LLM's API key, which in a cluster comes from the system's Secret. Without it, \(keyVariable).",
      valueName: "file"))
  var llmAPIKeyFile: String?

  @Flag(help: "Have the kernel hold the apps too (as root): each reaches its own sidecar and nothing else.")
  var nodeGuard = false

  @Option(
    help: ArgumentHelp("The cgroup below which each app gets one. (default: /casa-up/SYSTEM)", valueName: "path"))
  var cgroup: String?

  @Option(
    help: ArgumentHelp(
      "Where the guard's programs are pinned. (default: /sys/fs/bpf/casa-up-SYSTEM)", valueName: "directory"))
  var pins: String?

  /// The first of these that was given.
  var given: String? {
    let options: [(String, Bool)] = [
      ("--system", systemName != nil), ("--namespace", namespace != nil), ("--runtime", runtime != nil),
      ("--first-port", firstPort != nil), ("--app-port", !appPort.isEmpty), ("--llm-url", llmURL != nil),
      ("--llm-api-key-file", llmAPIKeyFile != nil), ("--node-guard", nodeGuard), ("--cgroup", cgroup != nil),
      ("--pins", pins != nil),
    ]
    return options.first { $0.1 }?.0
  }

  func validate() throws {
    if cgroup != nil || pins != nil, !nodeGuard { throw ValidationError("--cgroup and --pins go with --node-guard") }
    if let namespace, Name(namespace) == nil {
      throw ValidationError("--namespace must be 1 to 63 of a-z, 0-9 and -; got '\(namespace)'")
    }
    _ = try placement()
  }

  /// The system, and the guard around its apps when one is wanted. Prints what should be known of it.
  func place(_ files: [String], directory: String) throws -> (LocalSystem, LocalNodeGuard?) {
    let resources = try ResourceFiles.read(files, namespace: namespace ?? "default")
    let declared: DeclaredSystem
    do throws(DeclaredSystem.Failure) {
      declared = try DeclaredSystem(resources, named: systemName)
    } catch {
      switch error {
      case .choice(let text): throw ValidationError(text)
      case .refused: throw error
      }
    }
    for warning in declared.warnings { tell("warning: \(warning)") }
    var placement = try placement()
    let object = declared.resolved.object
    if let llm = object.llm {
      if let other = placement.llm { tell("notice: \(other) stands for the LLM \(llm.url), as --llm-url says") }
      placement.llmAPIKeyFile = try keyFile(for: llm, directory: directory)
    } else if llmURL != nil || llmAPIKeyFile != nil {
      throw ValidationError("\(object.metadata.reference) has no `llm_host`, so nothing is asked of an LLM")
    }
    do throws(ConfigurationError) {
      let system = try LocalSystem(resolved: declared.resolved, at: placement)
      guard nodeGuard else { return (system, nil) }
      return (
        system,
        try LocalNodeGuard(mas: system.mas, firstPort: placement.firstPort, parent: cgroup, pins: pins)
      )
    } catch { throw ValidationError("\(object.metadata.reference): \(error)") }
  }

  private func placement() throws -> LocalPlacement {
    let address = runtime ?? "127.0.0.1:8700"
    guard let runtime = ListenAddress(literal: address) else {
      throw ValidationError("--runtime must be an IP address and a port; got '\(address)'")
    }
    var placement = LocalPlacement(runtime: runtime, firstPort: firstPort ?? LocalPorts.standardFirst)
    for text in appPort {
      let parts = text.split(separator: "=", omittingEmptySubsequences: false)
      guard parts.count == 2, let name = Name(String(parts[0])), let port = Int(parts[1]), (1...65_535).contains(port)
      else { throw ValidationError("--app-port must be an app's name, = and a port, such as bank=8101; got '\(text)'") }
      placement.appPorts[name] = port
    }
    if let text = llmURL {
      guard let endpoint = HTTPEndpoint(text) else {
        throw ValidationError("--llm-url must be an http or https URL; got '\(text)'")
      }
      placement.llm = endpoint
    }
    return placement
  }

  /// The file with the LLM's API key. A Secret stays in its cluster.
  private func keyFile(for llm: MultiAgentSystem.LLM, directory: String) throws -> String? {
    let fromEnvironment = ProcessInfo.processInfo.environment[Self.keyVariable].flatMap { $0.isEmpty ? nil : $0 }
    guard let secret = llm.apiKey else {
      guard llmAPIKeyFile == nil else {
        throw ValidationError(
          "the system has no `llm.apiKeySecret`, so its apps bring the LLM's key themselves; leave --llm-api-key-file out"
        )
      }
      return nil
    }
    if let file = llmAPIKeyFile {
      _ = try SecretFile.read(file, what: "the LLM's API key")
      return URL(fileURLWithPath: file).standardizedFileURL.path
    }
    if let key = fromEnvironment { return try LocalStack.keep(llmAPIKey: key, in: directory) }
    tell(
      "notice: the Secret \(secret.name) is not on this machine, so the sidecars have no key for the LLM and the app's own"
        + " passes; give it with --llm-api-key-file or \(Self.keyVariable)")
    return nil
  }

  private func tell(_ text: String) {
    FileHandle.standardError.write(Data((Terminal.visible(text) + "\n").utf8))
  }
}
