import AgentProtocols
public import CASACore

/// What a probe of Kubernetes asks an app, with its port as a number: one of `httpGet`, `tcpSocket` and `grpc`.
///
/// A probe that runs a program is no such thing: the kubelet runs it within the container, past all packet rules.
public struct WorkloadProbe: Sendable, Hashable {
  public enum Question: Sendable, Hashable {
    case http(HTTPQuestion)
    case tcp
    /// gRPC's health service; an empty name is that of the server as a whole.
    case grpc(service: String)
  }

  public struct HTTPQuestion: Sendable, Hashable {
    /// Whether it goes by TLS; the certificate is not looked at, as the kubelet doesn't.
    public let isTLS: Bool
    /// With its query; begins with a slash.
    public let path: String
    public let headers: [Header]
  }

  public struct Header: Sendable, Hashable {
    public let name: String
    public let value: String

    private static let framing: Set<String> = [
      "connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade",
    ]

    /// nil unless the name is a token of RFC 9110, the value is printable ASCII, and the field is not one that says
    /// where a message ends or what becomes of its connection.
    init?(name: String, value: String) {
      let marks = Set("!#$%&'*+-.^_`|~".utf8)
      guard !name.isEmpty,
        name.utf8.allSatisfy({
          (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || marks.contains($0)
        }), value.utf8.allSatisfy({ (0x20...0x7E).contains($0) }), !Self.framing.contains(name.lowercased())
      else { return nil }
      self.name = name
      self.value = value
    }
  }

  public static let maximumHeaders = 16
  /// Of all headers' names and values together.
  public static let maximumHeaderBytes = 4096
  /// A path with its query has fewer bytes than this.
  public static let maximumPathBytes = 1024
  /// In seconds.
  public static let maximumTimeout = 300

  public let port: Int
  public let question: Question
  /// Within how many seconds the app has to answer, from 1 to `maximumTimeout`.
  public let timeoutSeconds: Int

  /// Reads a probe as Kubernetes writes it; nil when it has none of the three handlers.
  /// - Parameters:
  ///   - probe: the probe, or as much of it as `json` gives.
  ///   - namedPorts: the container's ports by name.
  /// - Throws: `InvalidField` that names the member.
  public init?(_ probe: JSONValue, namedPorts: [String: Int] = [:]) throws(InvalidField) {
    guard let members = probe.object else { throw InvalidField("probe", expected: "an object") }
    let handlers = ["httpGet", "tcpSocket", "grpc"].filter { (members[$0] ?? .null) != .null }
    guard let kind = handlers.first else { return nil }
    guard handlers.count == 1, let handler = members[kind], handler.object != nil else {
      throw InvalidField(kind, expected: "the probe's only handler, an object")
    }
    func text(_ name: String) throws(InvalidField) -> String? {
      guard let value = handler[name], value != .null else { return nil }
      guard let text = value.string else { throw InvalidField("\(kind).\(name)", expected: "a string") }
      return text.isEmpty ? nil : text
    }
    guard try text("host") == nil else {
      throw InvalidField(
        "\(kind).host",
        expected: "left out, since the sidecar asks the app in its own pod; a name goes into the header Host")
    }
    let port = handler["port"].flatMap { port in port.integer.map { Int($0) } ?? port.string.flatMap { namedPorts[$0] }
    }
    guard let port, (1...65_535).contains(port) else {
      throw InvalidField("\(kind).port", expected: "from 1 to 65535, or the name of one of the container's ports")
    }
    self.port = port
    switch kind {
    case "httpGet":
      question = .http(
        try HTTPQuestion(scheme: try text("scheme"), path: try text("path"), headers: handler["httpHeaders"]))
    case "grpc":
      let service = try text("service") ?? ""
      guard service.utf8.count <= 256 else { throw InvalidField("grpc.service", expected: "of at most 256 bytes") }
      question = .grpc(service: service)
    default: question = .tcp
    }
    guard let timeout = (members["timeoutSeconds"] ?? 1).integer, (1...Int64(Self.maximumTimeout)).contains(timeout)
    else { throw InvalidField("timeoutSeconds", expected: "from 1 to \(Self.maximumTimeout)") }
    timeoutSeconds = Int(timeout)
  }

  /// The handler alone, as Kubernetes writes it.
  public var handler: (name: String, value: JSONValue) {
    let number = JSONValue.number(Double(port))
    switch question {
    case .http(let http):
      var members: [String: JSONValue] = [
        "port": number, "path": .string(http.path), "scheme": http.isTLS ? "HTTPS" : "HTTP",
      ]
      if !http.headers.isEmpty {
        members["httpHeaders"] = .array(
          http.headers.map { ["name": .string($0.name), "value": .string($0.value)] })
      }
      return ("httpGet", .object(members))
    case .tcp: return ("tcpSocket", ["port": number])
    case .grpc(let service):
      return ("grpc", service.isEmpty ? ["port": number] : ["port": number, "service": .string(service)])
    }
  }

  /// The handler and the time; `init(_:namedPorts:)` reads it back.
  public var json: JSONValue {
    let (name, value) = handler
    return .object([name: value, "timeoutSeconds": .number(Double(timeoutSeconds))])
  }
}

extension WorkloadProbe.HTTPQuestion {
  init(scheme: String?, path: String?, headers: JSONValue?) throws(InvalidField) {
    switch scheme {
    case nil, "HTTP"?: isTLS = false
    case "HTTPS"?: isTLS = true
    default: throw InvalidField("httpGet.scheme", expected: "HTTP or HTTPS")
    }
    let path = path ?? "/"
    guard path.utf8.count < WorkloadProbe.maximumPathBytes, path.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
      !path.utf8.contains(UInt8(ascii: "#"))
    else {
      throw InvalidField(
        "httpGet.path",
        expected: "printable ASCII without spaces and #, of fewer than \(WorkloadProbe.maximumPathBytes) bytes")
    }
    self.path = path.hasPrefix("/") ? path : "/" + path
    var read: [WorkloadProbe.Header] = []
    if let headers, headers != .null {
      guard let list = headers.array, list.count <= WorkloadProbe.maximumHeaders else {
        throw InvalidField("httpGet.httpHeaders", expected: "a list of at most \(WorkloadProbe.maximumHeaders)")
      }
      for element in list {
        guard let name = element["name"]?.string, let value = element["value"]?.string,
          let header = WorkloadProbe.Header(name: name, value: value)
        else {
          throw InvalidField(
            "httpGet.httpHeaders", expected: "names and printable values, and none that frames the message")
        }
        read.append(header)
      }
    }
    guard read.reduce(0, { $0 + $1.name.utf8.count + $1.value.utf8.count }) <= WorkloadProbe.maximumHeaderBytes else {
      throw InvalidField(
        "httpGet.httpHeaders", expected: "of at most \(WorkloadProbe.maximumHeaderBytes) bytes in all")
    }
    self.headers = read
  }
}
