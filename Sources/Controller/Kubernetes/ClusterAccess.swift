package import AsyncHTTPClient
import CASACore
import NIOCore
import NIOSSL

/// Why it is not known how to reach an API server. Quotes no credentials.
package struct ClusterAccessError: Error, Sendable, Hashable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

/// Where the API server is, how it is recognized, and as whom it is asked.
package struct ClusterAccess: Sendable {
  /// Without a slash at its end.
  package let server: String
  /// The namespace that is meant where none is named.
  package let namespace: String
  /// The authorities, in PEM, that the server's certificate must come from; nil for the system's.
  let authorities: [UInt8]?
  let clientCertificate: ClientCertificate?
  let token: BearerToken?
  let verifiesServer: Bool

  /// In PEM.
  struct ClientCertificate: Sendable {
    let chain: [UInt8]
    let key: [UInt8]
  }

  /// - Throws: `ClusterAccessError` for a URL that is not one of https, or of http on this machine.
  init(
    server: String, namespace: String = "default", authorities: [UInt8]? = nil,
    clientCertificate: ClientCertificate? = nil, token: BearerToken? = nil, verifiesServer: Bool = true
  ) throws(ClusterAccessError) {
    var server = server
    while server.hasSuffix("/") { server.removeLast() }
    if server.hasPrefix("http://") {
      guard Self.isLoopback(server.dropFirst("http://".count)) else {
        throw ClusterAccessError(
          "the API server is at an http:// URL; expected https://, since http:// shows tokens to the network. "
            + "Only servers on this machine (127.0.0.1, [::1], localhost) may be asked by http://")
      }
    } else if !server.hasPrefix("https://") || server.utf8.count == "https://".utf8.count {
      throw ClusterAccessError("expected the API server's URL, such as https://10.0.0.1:6443")
    }
    guard server.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
      !server.utf8.contains(where: { "?#@".utf8.contains($0) })
    else { throw ClusterAccessError("the API server's URL must have no query, no fragment and no user") }
    self.server = server
    self.namespace = namespace
    self.authorities = authorities
    self.clientCertificate = clientCertificate
    self.token = token
    self.verifiesServer = verifiesServer
  }

  /// - Parameter authority: host and perhaps port and path.
  private static func isLoopback(_ authority: Substring) -> Bool {
    let authority = authority.prefix { $0 != "/" }
    let host =
      authority.hasPrefix("[") ? authority.prefix { $0 != "]" } + "]" : authority.prefix { $0 != ":" }
    if host == "localhost" || host == "[::1]" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
  }

  /// From within a pod, else by a kubeconfig file.
  /// - Throws: `ClusterAccessError`
  package static func found(
    environment: [String: String], context: String? = nil, allowsUnverifiedServer: Bool = false
  ) throws(ClusterAccessError) -> ClusterAccess {
    if context == nil, isPod(environment: environment) {
      return try inPod(environment: environment)
    }
    return try kubeconfig(
      paths: KubeconfigFile.paths(environment: environment), context: context,
      allowsUnverifiedServer: allowsUnverifiedServer)
  }

  /// Whether `found` goes by a pod's service account when no context is named; its namespace is the program's own then.
  package static func isPod(environment: [String: String]) -> Bool {
    environment["KUBECONFIG"] == nil && environment["KUBERNETES_SERVICE_HOST"] != nil
  }

  /// As a pod with its service account.
  /// - Parameter directory: where kubelet puts the account's token, authority and namespace.
  /// - Throws: `ClusterAccessError`
  package static func inPod(
    environment: [String: String], directory: String = "/var/run/secrets/kubernetes.io/serviceaccount"
  ) throws(ClusterAccessError) -> ClusterAccess {
    guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty,
      let port = environment["KUBERNETES_SERVICE_PORT"], UInt16(port) != nil
    else {
      throw ClusterAccessError(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is no pod; "
          + "outside one, set KUBECONFIG to a kubeconfig file")
    }
    let authorities = try AccessFile.read(directory + "/ca.crt")
    let namespace = try AccessFile.readLine(directory + "/namespace")
    let token = BearerToken(file: directory + "/token")
    _ = try token.current()
    return try ClusterAccess(
      server: "https://\(host.contains(":") ? "[\(host)]" : host):\(port)", namespace: namespace,
      authorities: authorities, token: token)
  }

  /// For the HTTP client with which a `KubernetesClient` asks.
  ///
  /// Only HTTP/1.1: with HTTP/2 all watches and requests would share one connection, and when that one dies without a
  /// word, new requests would be put onto it too.
  /// - Parameter idleTimeout: how long an answer may stay without a byte. A server tells each watch once a minute how
  ///   far it is, so a longer silence is a connection that nobody serves any more.
  /// - Throws: `ClusterAccessError` for certificates and keys that can't be read.
  package func httpClientConfiguration(
    idleTimeout: Duration = .seconds(100)
  ) throws(ClusterAccessError) -> HTTPClient.Configuration {
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.minimumTLSVersion = .tlsv12
    if !verifiesServer { tls.certificateVerification = .none }
    do {
      if let authorities {
        let certificates = try NIOSSLCertificate.fromPEMBytes(authorities)
        guard !certificates.isEmpty else { throw ClusterAccessError("the cluster's authority holds no certificate") }
        tls.trustRoots = .certificates(certificates)
      }
      if let clientCertificate {
        tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(clientCertificate.chain).map { .certificate($0) }
        tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: clientCertificate.key, format: .pem))
      }
    } catch let error as ClusterAccessError {
      throw error
    } catch {
      throw ClusterAccessError(
        "the cluster's authority, or the client's certificate or key, is not PEM that can be used")
    }
    var configuration = HTTPClient.Configuration(
      tlsConfiguration: tls, redirectConfiguration: .disallow, decompression: .disabled)
    configuration.httpVersion = .http1Only
    configuration.timeout.connect = .seconds(5)
    configuration.timeout.read = .milliseconds(idleTimeout.wholeMilliseconds)
    // Each watch holds one.
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 128
    // The pool would hide a refused connection until the deadline.
    configuration.connectionPool.retryConnectionEstablishment = false
    return configuration
  }
}

extension ClusterAccess: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package var description: String { server }
  package var debugDescription: String { server }
  package var customMirror: Mirror { Mirror(self, children: ["server": server, "namespace": namespace]) }
}
