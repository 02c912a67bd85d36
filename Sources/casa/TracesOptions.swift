import AgentProtocols
import ArgumentParser
import AsyncHTTPClient
import CASACore
import Foundation
import NIOCore
import NIOHTTP1

/// Where the traces are, and by what right they are read.
struct TracesOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The runtime's URL. Without it, CASA_URL of the environment, or http://127.0.0.1:8700.", valueName: "url"))
  var url: String?

  @Option(
    help: ArgumentHelp(
      "A file that holds the credential, such as data/admin-credential; or CASA_CREDENTIAL of the environment.",
      valueName: "file"))
  var credentialFile: String?

  /// More than this is no answer of a runtime.
  private static let maximumAnswerBytes = 64 << 20

  /// Lives as long as the process.
  private static let client: HTTPClient = {
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    configuration.timeout.connect = .seconds(5)
    // Where nothing listens, that is said at once.
    configuration.connectionPool.retryConnectionEstablishment = false
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }()

  private var base: String {
    let given = url ?? ProcessInfo.processInfo.environment["CASA_URL"] ?? "http://127.0.0.1:8700"
    return given.hasSuffix("/") ? String(given.dropLast()) : given
  }

  private func credential() throws -> String? {
    guard let credentialFile else { return ProcessInfo.processInfo.environment["CASA_CREDENTIAL"] }
    do {
      return try String(contentsOfFile: credentialFile, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    } catch {
      throw ValidationError("--credential-file \(credentialFile) can't be read: \(error.localizedDescription)")
    }
  }

  private func request(
    _ method: HTTPMethod, _ path: String, _ parameters: [(String, String?)], _ headers: [(String, String)] = []
  ) throws -> HTTPClientRequest {
    let query = FormBody.encode(parameters.compactMap { name, value in value.map { (name, $0) } })
    var request = HTTPClientRequest(
      url: base + path + (query.isEmpty ? "" : "?\(String(decoding: query, as: UTF8.self))"))
    request.method = method
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if let credential = try credential() { request.headers.add(name: "authorization", value: "Bearer \(credential)") }
    return request
  }

  /// - Throws: `TracesError` with what the runtime says when it refuses.
  func delete(_ path: String, _ parameters: [(String, String?)]) async throws {
    // However much there is to delete.
    _ = try await respond(try request(.DELETE, path, parameters), within: .hours(1))
  }

  /// What the runtime answers.
  /// - Throws: `TracesError` with what it says when it refuses.
  func get(_ path: String, _ parameters: [(String, String?)] = []) async throws -> JSONValue {
    let response = try await respond(try request(.GET, path, parameters), within: .seconds(60))
    let body = try await response.body.collect(upTo: Self.maximumAnswerBytes)
    var limits = JSONLimits.message
    limits.maximumBytes = Self.maximumAnswerBytes
    limits.maximumNodes = Self.maximumAnswerBytes
    return try JSONValue(parsing: Array(body.readableBytesView), limits: limits)
  }

  /// The events of a live stream, for ever: a connection that breaks is made again, and nothing is left out.
  func follow(_ parameters: [(String, String?)], _ take: (JSONValue) throws -> Void) async throws {
    var last: String?
    while true {
      do {
        let resumed = last.map { [("last-event-id", $0)] } ?? []
        let response = try await respond(
          try request(.GET, "/trace/live", parameters, [("accept", "text/event-stream")] + resumed), within: .hours(24))
        var parser = ServerSentEventParser()
        for try await chunk in response.body {
          for event in try parser.feed(Array(chunk.readableBytesView)) {
            if let id = event.id { last = id }
            try take(try JSONValue(parsing: Array(event.data.utf8)))
          }
        }
      } catch let error as TracesError where !error.isTransient {
        throw error
      } catch {
        FileHandle.standardError.write(Data("connection lost (\(error)); trying again\n".utf8))
        try await Task.sleep(for: .seconds(1))
      }
    }
  }

  private func respond(_ request: HTTPClientRequest, within limit: TimeAmount) async throws -> HTTPClientResponse {
    let response: HTTPClientResponse
    do {
      response = try await Self.client.execute(request, timeout: limit)
    } catch {
      throw TracesError("no runtime answers at \(base) (\(error)); say where it is with --url", isTransient: true)
    }
    guard response.status.code < 300 else {
      let body = try await response.body.collect(upTo: 1 << 20)
      let detail = (try? JSONValue(parsing: Array(body.readableBytesView)))?["detail"]?.string
      throw TracesError(
        "the runtime answered \(response.status.code): \(Terminal.visible(detail ?? "no explanation"))",
        isTransient: response.status.code >= 500)
    }
    return response
  }
}

struct TracesError: Error, CustomStringConvertible {
  let description: String
  /// Whether it may be over when it is tried again.
  let isTransient: Bool

  init(_ description: String, isTransient: Bool) {
    self.description = description
    self.isTransient = isTransient
  }
}
