import ArgumentParser
import Explorer
import Foundation
import IntentChecks
import Logging
import RuntimeAPI
import TokenService

struct RuntimeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "runtime",
    abstract: "Issue, exchange and introspect tokens, and decide about tool calls.",
    discussion: """
      At the first start an administrator's credential is written to DATA/admin-credential, readable by its owner
      only; the database keeps its hash.

      Examples:
        casa runtime --data ./data
        casa runtime --data /var/lib/casa --listen 0.0.0.0:8700 --issuer https://casa.example.com
        curl -H "Authorization: Bearer $(cat data/admin-credential)" http://127.0.0.1:8700/mas
      """)

  @Option(help: "Where to keep the database, keys and the administrator's credential.")
  var data: String

  @Option(
    help: ArgumentHelp(
      "The URL of a PostgreSQL database to use instead of SQLite in --data: postgres://USER@HOST:PORT/NAME?sslmode=…",
      valueName: "url"))
  var database: String?

  @Option(
    help: ArgumentHelp(
      "A file with that URL, so that a password in it shows in no list of processes.", valueName: "file"))
  var databaseFile: String?

  @Option(
    help: ArgumentHelp(
      "A file with the administrator's credential, at least 32 characters, instead of one that is made at the first start.",
      valueName: "file"))
  var adminCredentialFile: String?

  @Option(help: ArgumentHelp("Where to listen.", valueName: "host:port"))
  var listen = "127.0.0.1:8700"

  @Option(help: ArgumentHelp("The URL clients reach this runtime at; http://host:port if not given.", valueName: "url"))
  var issuer: String?

  @Option(help: ArgumentHelp("How long tokens live, 1 to 3600 seconds.", valueName: "seconds"))
  var tokenLifetime = 300

  @Option(help: ArgumentHelp("How tokens are signed: ES256 or EdDSA.", valueName: "algorithm"))
  var algorithm = "ES256"

  @Option(
    help: ArgumentHelp(
      "The folder of the embedding model. Without it, models/all-MiniLM-L6-v2 where that is there.",
      valueName: "folder"))
  var model: String?

  @Option(
    help: ArgumentHelp(
      "Models on other servers that the checks of intent ask: `embeddings` and `verifier`, as docs/intent.md says.",
      valueName: "file"))
  var models: String?

  @Flag(
    help: """
      Let everybody on this machine read traces, prompts too, without a credential: for trying things out only. Takes a
      loopback address in --listen.
      """)
  var openTraces = false

  @OptionGroup var logging: LoggingOptions

  func run() async throws {
    guard let address = HostAndPort(listen) else {
      throw ValidationError("--listen must be host:port, such as 127.0.0.1:8700; got '\(listen)'")
    }
    guard !openTraces || ["127.0.0.1", "::1", "localhost"].contains(address.host) else {
      throw ValidationError("--open-traces takes a loopback address in --listen; got '\(listen)'")
    }
    guard (1...3600).contains(tokenLifetime) else {
      throw ValidationError("--token-lifetime must be 1 to 3600 seconds; got \(tokenLifetime)")
    }
    guard let algorithm = SigningAlgorithm(rawValue: algorithm) else {
      throw ValidationError("--algorithm must be ES256 or EdDSA; got '\(algorithm)'")
    }
    if let issuer, !(issuer.hasPrefix("http://") || issuer.hasPrefix("https://")) || issuer.hasSuffix("/") {
      throw ValidationError("--issuer must be an http or https URL without a slash at its end; got '\(issuer)'")
    }
    let databaseURL = try databaseURL()
    let adminCredential = try adminCredential()
    let logger = logging.logger("casa.runtime")
    let models = try ModelChoice(folder: model, file: models, logger: logger)
    do {
      var configuration = Runtime.Configuration(
        host: address.host, port: address.port, dataDirectory: data, issuer: issuer,
        tokenLifetime: .seconds(tokenLifetime), algorithm: algorithm)
      configuration.databaseURL = databaseURL
      configuration.adminCredential = adminCredential
      configuration.models = models.models
      configuration.opensTraces = openTraces
      try await run(configuration, logger: logger)
    } catch {
      try? await models.shutdown()
      throw error
    }
    try await models.shutdown()
  }

  private func run(_ configuration: Runtime.Configuration, logger: Logger) async throws {
    let host = configuration.host
    let credential = adminCredentialFile ?? configuration.adminCredentialPath
    let runtime = Runtime(
      configuration: configuration, logger: logger,
      pages: { view in
        try Explorer(data: RuntimeExplorerData(view), browser: RuntimeBrowserAccess(view.access), logger: logger)
      },
      onReady: { port in
        logger.notice(
          "ready",
          metadata: [
            "url": "http://\(host):\(port)", "explorer": "http://\(host):\(port)/explorer",
            "admin": "\(credential)",
          ])
      })
    try await serve(runtime, logger: logger)
  }

  private func adminCredential() throws -> String? {
    guard let path = adminCredentialFile else { return nil }
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw ValidationError(
        "--admin-credential-file \(path) can't be read; it must hold the administrator's credential")
    }
    let credential = text.trimmingCharacters(in: .whitespacesAndNewlines)
    guard (32...512).contains(credential.utf8.count), credential.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw ValidationError(
        "--admin-credential-file \(path) must hold 32 to 512 printable characters, such as `openssl rand -hex 32` prints"
      )
    }
    return credential
  }

  private func databaseURL() throws -> String? {
    switch (database, databaseFile) {
    case (nil, nil): return nil
    case (let url?, nil): return url
    case (nil, let path?):
      guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
        throw ValidationError("--database-file \(path) can't be read; it must hold a PostgreSQL URL")
      }
      return text.trimmingCharacters(in: .whitespacesAndNewlines)
    default: throw ValidationError("give either --database or --database-file")
    }
  }
}
