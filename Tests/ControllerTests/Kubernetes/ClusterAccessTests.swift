import Foundation
import Synchronization
import Testing

@testable import Controller

@Suite("How the API server is reached")
struct ClusterAccessTests {
  private func access(
    server: String = "https://10.0.0.1:6443", cluster: String = "", user: String = "token: t-1", context: String = "",
    allowsUnverifiedServer: Bool = false
  ) throws -> ClusterAccess {
    let yaml = """
      apiVersion: v1
      kind: Config
      current-context: c
      clusters: [{name: k, cluster: {server: "\(server)"\(cluster.isEmpty ? "" : ", " + cluster)}}]
      users: [{name: u, user: {\(user)}}]
      contexts: [{name: c, context: {cluster: k, user: u\(context.isEmpty ? "" : ", " + context)}}]
      """
    return try ClusterAccess.kubeconfig(
      [KubeconfigFile(path: "/etc/kube/config", yaml: Array(yaml.utf8))], context: nil,
      allowsUnverifiedServer: allowsUnverifiedServer)
  }

  @Test("reads a kubeconfig file")
  func kubeconfig() throws {
    let found = try access(cluster: "certificate-authority-data: aGk=", context: "namespace: n")
    #expect(found.server == "https://10.0.0.1:6443")
    #expect(found.namespace == "n")
    #expect(found.authorities == Array("hi".utf8))
    #expect(try found.token?.current() == "t-1")
    #expect(found.verifiesServer)
  }

  @Test("takes a service account's namespace for the program's own only where no kubeconfig is named")
  func isPod() {
    let pod = ["KUBERNETES_SERVICE_HOST": "10.96.0.1"]
    #expect(ClusterAccess.isPod(environment: pod))
    #expect(!ClusterAccess.isPod(environment: pod.merging(["KUBECONFIG": "/k"]) { $1 }))
    #expect(!ClusterAccess.isPod(environment: [:]))
  }

  @Test("of several files the first counts that names something")
  func severalFiles() throws {
    let first = KubeconfigFileText.file("users: [{name: u, user: {token: first}}]")
    let second = KubeconfigFileText.file(
      """
      current-context: c
      clusters: [{name: k, cluster: {server: "https://a"}}]
      users: [{name: u, user: {token: second}}]
      contexts: [{name: c, context: {cluster: k, user: u}}]
      """)
    let found = try ClusterAccess.kubeconfig([first, second], context: nil, allowsUnverifiedServer: false)
    #expect(try found.token?.current() == "first")
  }

  private enum KubeconfigFileText {
    static func file(_ yaml: String) -> KubeconfigFile {
      do {
        return try KubeconfigFile(path: "f", yaml: Array(yaml.utf8))
      } catch {
        fatalError("\(error)")
      }
    }
  }

  @Test(
    "refuses what it can't do, and says what to use",
    arguments: [
      ("exec: {command: aws}", "kubectl create token"), ("auth-provider: {name: gcp}", "kubectl create token"),
      ("username: a, password: b", "tokenFile"), ("token: t, as: admin", "credentials of who is meant"),
      ("client-certificate-data: aGk=", "both"), ("client-certificate-data: '?', client-key-data: aGk=", "Base64"),
      ("token: \"a b\"", "printable"), ("tokenFile: /nowhere/token", "/nowhere/token"),
    ])
  func refusals(_ user: String, _ expected: String) {
    let error = #expect(throws: ClusterAccessError.self) { try access(user: user) }
    #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
  }

  @Test("an unverified server only when asked for")
  func unverified() throws {
    #expect(throws: ClusterAccessError.self) { try access(cluster: "insecure-skip-tls-verify: true") }
    #expect(try !access(cluster: "insecure-skip-tls-verify: true", allowsUnverifiedServer: true).verifiesServer)
  }

  @Test(
    "http:// only on this machine",
    arguments: [
      ("http://127.0.0.1:8001", true), ("http://localhost:8001/", true), ("http://[::1]:8001", true),
      ("http://127.9.9.9", true), ("http://10.0.0.1", false), ("http://127.0.0.1.example.com", false),
      ("http://localhost.example.com", false), ("http://127.0.0.1@evil.example", false), ("http://", false),
      ("https://", false), ("10.0.0.1:6443", false), ("https://a/?x", false), ("https://user@a", false),
    ])
  func schemes(_ server: String, _ isTaken: Bool) {
    if isTaken {
      #expect(throws: Never.self) { try access(server: server) }
    } else {
      #expect(throws: ClusterAccessError.self) { try access(server: server) }
    }
  }

  @Test("tells no credentials when it is printed")
  func printing() throws {
    let found = try access(user: "token: s3cret")
    var dumped = ""
    dump(found, to: &dumped)
    #expect(!"\(found) \(String(reflecting: found)) \(dumped)".contains("s3cret"))
  }

  @Test("a pod's token is read again when kubelet may have written another")
  func rotation() throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "casa-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    func write(_ name: String, _ text: String) throws {
      try Data(text.utf8).write(to: URL(fileURLWithPath: directory + "/" + name))
    }
    try write("ca.crt", "pem")
    try write("namespace", "n")
    try write("token", "t-1\n")
    let environment = ["KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"]
    let found = try ClusterAccess.inPod(environment: environment, directory: directory)
    #expect(found.server == "https://[fd00::1]:443")
    #expect(found.namespace == "n")

    let time = Mutex(ContinuousClock.now)
    let token = BearerToken(file: directory + "/token") { time.withLock { $0 } }
    #expect(try token.current() == "t-1")
    try write("token", "t-2")
    #expect(try token.current() == "t-1")
    time.withLock { $0 += .seconds(60) }
    #expect(try token.current() == "t-2")
    // At once when the server did not take it.
    try write("token", "t-3")
    #expect(token.wasRefused())
    #expect(try token.current() == "t-3")
    // While it can't be read, the last one may still do.
    try FileManager.default.removeItem(atPath: directory + "/token")
    time.withLock { $0 += .seconds(61) }
    #expect(try token.current() == "t-3")
    #expect(throws: ClusterAccessError.self) { try BearerToken(file: directory + "/token").current() }
  }

  @Test("outside a pod it says so")
  func noPod() {
    #expect(throws: ClusterAccessError.self) { try ClusterAccess.inPod(environment: [:]) }
  }
}
