import ArgumentParser
import AsyncHTTPClient
import ClusterObjects
import Controller
import Foundation
import Logging

struct NodeFollowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "follow",
    abstract: "Keep the policy and the pods of a node's guard as a Kubernetes cluster says.",
    discussion: """
      Writes DIRECTORY/policy.json and DIRECTORY/pods.json, which `casa node run` reads, whenever they would say something
      else. While the API server is away they stay as they are. It reads pods of the node, namespaces, Services,
      EndpointSlices and CASA's own objects, and no Secrets.

      Only pods of namespaces with the label casa.io/injection: enabled are denied anything, and never those of
      kube-system, kube-public, kube-node-lease and CASA's own namespaces.

      Examples:
        casa node follow --node $NODE_NAME --directory /run/casa/node
        casa node follow --node worker-1 --directory . --kubeconfig ~/.kube/config --once
      """)

  @Option(help: ArgumentHelp("The node's name.", valueName: "name"))
  var node: String

  @Option(help: ArgumentHelp("Where the files are written.", valueName: "directory"))
  var directory: String

  @Option(help: ArgumentHelp("How to reach the cluster; a pod's service account, if not given.", valueName: "file"))
  var kubeconfig: String?

  @Flag(help: "End when the files were written; exit code 1 when the cluster's state is not known within a minute.")
  var once = false

  @OptionGroup var cluster: ClusterOptions

  @OptionGroup var logging: LoggingOptions

  func validate() throws {
    guard (1...253).contains(node.utf8.count), !node.contains(where: { ",= ".contains($0) }) else {
      throw ValidationError("--node must be a node's name; got '\(node)'")
    }
  }

  func run() async throws {
    let logger = logging.logger("casa.node.follow")
    var environment = ProcessInfo.processInfo.environment
    if let kubeconfig { environment["KUBECONFIG"] = kubeconfig }
    let access = try ClusterAccess.found(environment: environment)
    let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: try access.httpClientConfiguration())
    var settings = cluster.settings
    // Of a kubeconfig's context it would be any namespace.
    if ClusterAccess.isPod(environment: environment) { settings.nodeNamespace = access.namespace }
    var configuration = NodeFollower.Configuration(node: node, directory: directory, settings: settings)
    configuration.isOnce = once
    do {
      let follower = NodeFollower(
        configuration, client: KubernetesClient(access, http: http, logger: logger), logger: logger)
      if once { try await follower.run() } else { try await serve(follower, logger: logger) }
    } catch {
      try? await http.shutdown()
      throw error
    }
    try await http.shutdown()
  }
}
