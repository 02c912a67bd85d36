import AgentProtocols
import Yams

extension ClusterAccess {
  /// By kubeconfig files, as kubectl reads them: of a cluster, user or context that several files name, the first
  /// counts.
  /// - Parameters:
  ///   - context: nil for the current one.
  ///   - allowsUnverifiedServer: whether `insecure-skip-tls-verify` is followed, which lets anybody on the network be
  ///     the API server.
  /// - Throws: `ClusterAccessError`
  package static func kubeconfig(
    paths: [String], context: String? = nil, allowsUnverifiedServer: Bool = false
  ) throws(ClusterAccessError) -> ClusterAccess {
    var files: [KubeconfigFile] = []
    for path in paths { files.append(try KubeconfigFile(path: path, yaml: try AccessFile.read(path))) }
    return try kubeconfig(files, context: context, allowsUnverifiedServer: allowsUnverifiedServer)
  }

  static func kubeconfig(
    _ files: [KubeconfigFile], context wanted: String?, allowsUnverifiedServer: Bool
  ) throws(ClusterAccessError) -> ClusterAccess {
    let place = files.map(\.path).joined(separator: ", ")
    guard let contextName = wanted ?? files.lazy.compactMap(\.currentContext).first else {
      throw ClusterAccessError("\(place): there is no current-context; set one with kubectl config use-context")
    }
    func entry(_ list: String, _ name: String) throws(ClusterAccessError) -> KubeconfigFile.Entry {
      for file in files {
        if let entry = file.entry(list, name) { return entry }
      }
      throw ClusterAccessError("\(place): `\(list)` has no `\(name)`")
    }
    let context = try entry("contexts", contextName)
    let cluster = try entry("clusters", try context.required("cluster"))
    let user = try entry("users", try context.required("user"))
    try cluster.refuse(["proxy-url", "tls-server-name"], use: "a server URL that is reached directly by its own name")
    try user.refuse(
      ["exec", "auth-provider"],
      use:
        "`token` or `tokenFile` of a service account (kubectl create token), or `client-certificate` and `client-key`")
    try user.refuse(["username", "password"], use: "`token`, `tokenFile` or `client-certificate`")
    try user.refuse(["as", "as-uid", "as-groups"], use: "the credentials of who is meant")
    let skipsVerification = cluster.value["insecure-skip-tls-verify"]?.bool ?? false
    guard !skipsVerification || allowsUnverifiedServer else {
      throw ClusterAccessError(
        "\(cluster.place) sets insecure-skip-tls-verify, by which anybody on the network can be the API server; "
          + "give `certificate-authority` or `certificate-authority-data` instead")
    }
    var token = user.text("token").map { BearerToken(text: $0) }
    if token == nil, let file = user.text("tokenFile") { token = BearerToken(file: user.file(file)) }
    if let token { try user.check(token) }
    let certificate = try user.bytes("client-certificate")
    let key = try user.bytes("client-key")
    guard (certificate == nil) == (key == nil) else {
      throw ClusterAccessError("\(user.place) must have both client-certificate and client-key, or neither")
    }
    var pair: ClientCertificate?
    if let certificate, let key { pair = ClientCertificate(chain: certificate, key: key) }
    return try ClusterAccess(
      server: try cluster.required("server"), namespace: context.text("namespace") ?? "default",
      authorities: try cluster.bytes("certificate-authority"), clientCertificate: pair, token: token,
      verifiesServer: !skipsVerification)
  }
}

/// One kubeconfig file.
struct KubeconfigFile {
  let path: String
  private let root: Node

  /// - Throws: `ClusterAccessError`
  init(path: String, yaml: [UInt8]) throws(ClusterAccessError) {
    self.path = path
    let root: Node?
    do {
      root = try Yams.compose(yaml: String(decoding: yaml, as: UTF8.self))
    } catch {
      // The error's text would quote the file.
      throw ClusterAccessError("\(path) is not YAML")
    }
    guard let root, root.mapping != nil else { throw ClusterAccessError("\(path): expected a mapping") }
    self.root = root
  }

  /// `KUBECONFIG` may name several files; without it there is one in the home directory.
  static func paths(environment: [String: String]) throws(ClusterAccessError) -> [String] {
    if let list = environment["KUBECONFIG"], !list.isEmpty {
      return list.split(separator: ":").map(String.init)
    }
    guard let home = environment["HOME"], !home.isEmpty else {
      throw ClusterAccessError("neither KUBECONFIG nor HOME is set; set KUBECONFIG to a kubeconfig file")
    }
    return [home + "/.kube/config"]
  }

  var currentContext: String? { root["current-context"]?.scalar.flatMap { $0.string.isEmpty ? nil : $0.string } }

  /// One cluster, user or context.
  struct Entry {
    /// Where it stands, for errors.
    let place: String
    let directory: String
    let value: Node

    func text(_ name: String) -> String? { value[name]?.scalar.flatMap { $0.string.isEmpty ? nil : $0.string } }

    func required(_ name: String) throws(ClusterAccessError) -> String {
      guard let text = text(name) else { throw ClusterAccessError("\(place) must have `\(name)`") }
      return text
    }

    func refuse(_ names: [String], use: String) throws(ClusterAccessError) {
      for name in names where value[name] != nil {
        throw ClusterAccessError("\(place) has `\(name)`, which is not supported; use \(use)")
      }
    }

    /// Paths are meant from where the file is.
    func file(_ path: String) -> String { path.hasPrefix("/") ? path : directory + "/" + path }

    /// What `NAME-data` holds in Base64, or else the file that `NAME` names.
    func bytes(_ name: String) throws(ClusterAccessError) -> [UInt8]? {
      if let data = text(name + "-data") {
        guard let bytes = Base64.decode(data) else {
          throw ClusterAccessError("\(place): `\(name)-data` must be Base64")
        }
        return bytes
      }
      guard let path = text(name) else { return nil }
      return try AccessFile.read(file(path))
    }

    func check(_ token: BearerToken) throws(ClusterAccessError) {
      guard try token.current().utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
        throw ClusterAccessError("\(place): the token must be of printable characters without spaces")
      }
    }
  }

  func entry(_ list: String, _ name: String) -> Entry? {
    guard let found = root[list]?.sequence?.first(where: { $0["name"]?.scalar?.string == name }) else { return nil }
    let what = String(list.dropLast())
    // A relative path without a slash is in the working directory.
    let directory = path.contains("/") ? String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) : "."
    return Entry(
      place: "\(path): \(what) `\(name)`", directory: directory.isEmpty ? "/" : directory,
      value: found[what] ?? Node([(Node, Node)]()))
  }
}
