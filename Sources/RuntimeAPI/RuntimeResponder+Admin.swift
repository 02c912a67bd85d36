import AgentProtocols
import CASACore
import HTTPTypes
import Hummingbird
import TokenService

/// The administrator's endpoints. The credential was checked before any of this runs.
extension RuntimeResponder {
  func adminAnswer(to request: Request, route: Route) async throws -> Answer {
    let registry = server.registry
    switch (route, request.method) {
    case (.systems, .get): return Answer(.ok, json: ["mas": .array(registry.systems().map(\.json))])
    case (.systems, _):
      let body = try await json(request)
      let mas = try await registry.createMAS(
        name: try name(body), owner: try owner(body), settings: try MAS.Settings(json: body))
      return created(mas.json, at: "/mas/\(mas.id)")
    case (.system(let id), .get):
      guard let mas = registry.mas(id) else { throw RegistryError.notFound("MAS \(id)") }
      return Answer(.ok, json: mas.json)
    case (.system(let id), .put):
      let settings = try MAS.Settings(json: try await json(request))
      return Answer(.ok, json: try await registry.updateMAS(id, settings: settings).json)
    case (.system(let id), _):
      try await registry.deleteMAS(id)
      return .noContent
    case (.apps, .get):
      let filter = try query(request)["mas_id"]
      guard let filter else { return Answer(.ok, json: ["apps": .array(registry.apps(of: nil).map(\.json))]) }
      guard let id = MASID(validating: filter) else { throw InvalidField("mas_id", expected: "a MAS's id") }
      return Answer(.ok, json: ["apps": .array(registry.apps(of: id).map(\.json))])
    case (.apps, _): return try await createApp(try await json(request))
    case (.app(let id), .get):
      guard let app = registry.app(id) else { throw RegistryError.notFound("app \(id)") }
      return Answer(.ok, json: app.json)
    case (.app(let id), .put):
      let body = try await json(request)
      let app = try await registry.updateApp(
        id, settings: try App.Settings(json: body), jwks: try ClientKeys.parse(body["jwks"]))
      return Answer(.ok, json: app.json)
    case (.app(let id), _):
      try await registry.deleteApp(id)
      return .noContent
    case (.appSecret(let id), _):
      let (app, secret) = try await registry.rotateSecret(of: id)
      return Answer(.ok, json: with(secret, app.json)).unstored()
    case (.tools(let id), _):
      guard registry.app(id) != nil else { throw RegistryError.notFound("app \(id)") }
      return Answer(.ok, json: ["tools": .array(registry.tools(of: id).map(\.json))])
    case (.discoverTools(let id), _): return try await discover(id)
    case (.approveTools(let id), _):
      let tools = try await registry.approveTools(try digests(try await json(request)), of: id)
      return Answer(.ok, json: ["tools": .array(tools.map(\.json))])
    case (.nodes, .get): return Answer(.ok, json: ["nodes": .array(registry.nodes().map(\.json))])
    case (.nodes, _):
      let (node, secret) = try await registry.createNode(name: try nodeName(try await json(request)))
      return created(with(secret, node.json), at: "/nodes/\(node.id)").unstored()
    case (.node(let id), .get):
      guard let node = registry.node(id) else { throw RegistryError.notFound("node \(id)") }
      return Answer(.ok, json: node.json)
    case (.node(let id), _):
      try await registry.deleteNode(id)
      return .noContent
    case (.nodeSecret(let id), _):
      let (node, secret) = try await registry.rotateSecret(of: id)
      return Answer(.ok, json: with(secret, node.json)).unstored()
    case (.readers, .get): return Answer(.ok, json: ["readers": .array(registry.readers().map(\.json))])
    case (.readers, _):
      let body = try await json(request)
      let (reader, secret) = try await registry.createReader(name: try name(body), json: body)
      var members = reader.json.object ?? [:]
      members["credential"] = .string(reader.credential(secret))
      return created(.object(members), at: "/readers/\(reader.id)").unstored()
    case (.reader(let id), .get):
      guard let reader = registry.reader(id) else { throw RegistryError.notFound("reader \(id)") }
      return Answer(.ok, json: reader.json)
    case (.reader(let id), _):
      try await registry.deleteReader(id)
      return .noContent
    case (.traceEvents, _): return try await prune(try query(request))
    case (.rotateKey, _): return Answer(.ok, json: try await server.rotateSigningKey().jwk)
    default: throw Refused(.notFound, "nothing is here")
    }
  }

  private func createApp(_ body: JSONValue) async throws -> Answer {
    guard let masID = body["mas_id"]?.string.flatMap({ MASID(validating: $0) }) else {
      throw InvalidField("mas_id", expected: "the id of the app's MAS")
    }
    guard let kind = body["kind"]?.string.flatMap({ AppKind(rawValue: $0) }) else {
      throw InvalidField("kind", expected: AppKind.allCases.map(\.rawValue).joined(separator: ", "))
    }
    let (app, secret) = try await server.registry.createApp(
      in: masID, name: try name(body), kind: kind, settings: try App.Settings(json: body),
      jwks: try ClientKeys.parse(body["jwks"]))
    return created(with(secret, app.json), at: "/apps/\(app.id)").unstored()
  }

  private func discover(_ id: AppID) async throws -> Answer {
    do {
      let tools = try await server.discoverTools(of: id, from: toolSource)
      return Answer(.ok, json: ["tools": .array(tools.map(\.json))])
    } catch let error as DiscoveryError {
      throw Refused(.conflict, "the server's tools could not be listed: \(error)")
    }
  }

  private func digests(_ body: JSONValue) throws(InvalidField) -> [ToolName: String] {
    let problem = InvalidField("tools", expected: "an array of objects with `name` and the `seen_sha256` you looked at")
    guard let list = body["tools"]?.array, (1...1000).contains(list.count) else { throw problem }
    var digests: [ToolName: String] = [:]
    for element in list {
      guard let name = element["name"]?.string.flatMap({ ToolName($0) }),
        let digest = element["seen_sha256"]?.string, TokenHash(digest) != nil
      else { throw problem }
      digests[name] = digest
    }
    return digests
  }

  private func prune(_ query: [String: String]) async throws -> Answer {
    guard query.keys.allSatisfy({ $0 == "before" }), let text = query["before"],
      let limit = Timestamp(queried: text), limit <= server.now - .seconds(3600)
    else {
      throw InvalidField("before", expected: "a moment at least an hour ago, such as 2026-01-31T12:00:00Z")
    }
    try await server.pruneTraces(before: limit)
    return .noContent
  }

  private func name(_ body: JSONValue) throws(InvalidField) -> Name {
    guard let name = body["name"]?.string.flatMap({ Name($0) }) else {
      throw InvalidField("name", expected: "1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit")
    }
    return name
  }

  private func owner(_ body: JSONValue) throws(InvalidField) -> ExternalOwner? {
    guard let value = body["owner"], value != .null else { return nil }
    guard let owner = value.string.flatMap({ ExternalOwner($0) }) else {
      throw InvalidField("owner", expected: "1 to 512 printable ASCII characters without spaces")
    }
    return owner
  }

  private func nodeName(_ body: JSONValue) throws(InvalidField) -> NodeName {
    guard let name = body["name"]?.string.flatMap({ NodeName($0) }) else {
      throw InvalidField(
        "name",
        expected: "1 to 253 of a-z, 0-9, - and ., in labels of at most 63 that begin and end with a letter or digit")
    }
    return name
  }

  private func created(_ json: JSONValue, at location: String) -> Answer {
    var answer = Answer(.created, json: json)
    answer.headers[.location] = location
    return answer
  }

  private func with(_ secret: ClientSecret?, _ json: JSONValue) -> JSONValue {
    guard let secret, var members = json.object else { return json }
    members["client_secret"] = .string(secret.text)
    return .object(members)
  }
}
