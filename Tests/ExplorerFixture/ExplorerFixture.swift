internal import AgentProtocols
internal import CASACore
internal import Explorer
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore
internal import Traces

/// Serves the Explorer over a file of JSON, and a live stream of the lines that a test appends to another:
/// `ExplorerFixture PORT DATA.json LIVE.jsonl [CREDENTIAL]`. Without a credential it is open.
@main
enum ExplorerFixture {
  static func main() async throws {
    let arguments = CommandLine.arguments
    guard arguments.count >= 4, let port = Int(arguments[1]) else {
      fatalError("expected PORT DATA.json LIVE.jsonl [CREDENTIAL]")
    }
    let bytes = try Data(contentsOf: URL(fileURLWithPath: arguments[2]))
    let limits = JSONLimits(maximumBytes: 1 << 28, maximumDepth: 64, maximumNodes: 20_000_000)
    let data = FileData(root: try JSONValue(parsing: Array(bytes), limits: limits), livePath: arguments[3])
    let access = FixtureAccess(credential: arguments.count > 4 ? arguments[4] : nil)
    var logger = Logger(label: "fixture")
    logger.logLevel = .warning
    let application = Application(
      responder: FixtureResponder(
        explorer: try Explorer(data: data, browser: access, logger: logger), livePath: arguments[3]),
      configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: port), serverName: nil),
      onServerRunning: { channel in
        print("port \(channel.localAddress?.port ?? 0)")
        fflush(nil)
      }, logger: logger)
    try await application.run()
  }
}

struct FixtureAccess: BrowserAccess {
  let credential: String?
  var isOpen: Bool { credential == nil }

  func access(cookie: String?, host: String?) async -> ReadAccess? {
    isOpen || cookie == "signed-in" ? ReadAccess(name: "tester", systems: nil, readsPrompts: true) : nil
  }
  func signIn(credential: String) async -> String? { credential == self.credential ? "signed-in" : nil }
}

/// Takes from the file what each call would answer.
struct FileData: ExplorerData {
  let root: JSONValue
  let livePath: String

  func systems(_ access: ReadAccess) async throws -> JSONValue { root["systems"] ?? ["systems": []] }
  func system(_ id: MASID, _ access: ReadAccess) async throws -> JSONValue? { root["system"]?[id.rawValue] }

  func sessions(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    if query["reason"] == "unreadable" { throw InvalidField("reason", expected: "a reason") }
    var all = root["sessions"]?.array ?? []
    if query["verdict"] == "refused" { all = all.filter { ($0["refused"]?.integer ?? 0) > 0 } }
    if let mas = query["mas_id"] { all = all.filter { $0["mas_id"]?.string == mas } }
    if let text = query["text"] { all = all.filter { $0["prompt"]?.string?.contains(text) ?? false } }
    let start = query["before"].flatMap { Int($0) } ?? 0
    let limit = query["limit"].flatMap { Int($0) } ?? 50
    let page = Array(all.dropFirst(start).prefix(limit))
    return [
      "sessions": .array(page), "next": start + limit < all.count ? .string(String(start + limit)) : .null,
    ]
  }

  func session(_ id: UserInputID, isWhole: Bool, _ access: ReadAccess) async throws -> JSONValue? {
    guard var session = root["session"]?[id.rawValue]?.object else { return nil }
    let events = session["events"]?.array ?? []
    session["events"] = .array(Array(events.prefix(1000)))
    session["next_after"] = events.count > 1000 ? events[999]["sequence"] ?? .null : .null
    return .object(session)
  }

  func events(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    let after = query["after"].flatMap { Int64($0) } ?? 0
    let limit = query["limit"].flatMap { Int($0) } ?? 100
    let events = root["session"]?[query["session"] ?? ""]?["events"]?.array ?? []
    return ["events": .array(Array(events.filter { ($0["sequence"]?.integer ?? 0) > after }.prefix(limit)))]
  }

  func lastEvent() async throws -> Int64 { LiveLine.all(of: livePath).map(\.sequence).max() ?? 0 }

  func alerts(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    var all = root["alerts"]?.array ?? []
    if let kind = query["kind"] { all = all.filter { $0["kind"]?.string == kind } }
    return [
      "alerts": .array(Array(all.prefix(query["limit"].flatMap { Int($0) } ?? 50))), "next": .null,
    ]
  }
  func statistics(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    root["statistics"] ?? [:]
  }
  func graph(_ query: [String: String], _ access: ReadAccess) async throws -> JSONValue {
    root["graph"]?[query["mas_id"] ?? ""] ?? ["apps": [], "edges": []]
  }
  func search(_ text: String, _ access: ReadAccess) async throws -> JSONValue {
    guard text != "nothing" else { return [:] }
    return root["search"] ?? [:]
  }
}

struct FixtureResponder: HTTPResponder {
  let explorer: Explorer
  let livePath: String

  func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
    guard request.uri.path == "/trace/live" else { return try await explorer.respond(to: request, context: context) }
    let place = request.headers[.lastEventID] ?? request.uri.queryParameters["after"].map { String($0) }
    let resumed = place.flatMap { Int64($0) }
    let path = livePath
    let wanted = request.uri.queryParameters["session"].map { String($0) }
    return Response(
      status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
      body: ResponseBody { writer in
        var last = resumed ?? LiveLine.all(of: path).map(\.sequence).max() ?? 0
        try await writer.write(ByteBuffer(string: ": open\n\n"))
        while !Task.isCancelled {
          for line in LiveLine.all(of: path) where line.sequence > last {
            last = line.sequence
            guard wanted == nil || line.text.contains("\"\(wanted ?? "")\"") else { continue }
            try await writer.write(ByteBuffer(string: "id: \(last)\nevent: trace\ndata: \(line.text)\n\n"))
          }
          try await Task.sleep(for: .milliseconds(50))
          try await writer.write(ByteBuffer(string: ":\n\n"))
        }
        try await writer.finish(nil)
      })
  }
}

/// An event that a test appended to the file of live ones.
struct LiveLine {
  let sequence: Int64
  let text: String

  static func all(of path: String) -> [LiveLine] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
    return text.split(separator: "\n").compactMap { line in
      guard let sequence = (try? JSONValue(parsing: String(line)))?["sequence"]?.integer else { return nil }
      return LiveLine(sequence: sequence, text: String(line))
    }
  }
}

extension HTTPField.Name {
  // swift-format-ignore: NeverForceUnwrap
  static let lastEventID = HTTPField.Name("Last-Event-ID")!
}
