import ArgumentParser
import Logging

struct LoggingOptions: ParsableArguments {
  @Option(help: ArgumentHelp("What to log: trace, debug, info, notice, warning or error.", valueName: "level"))
  var logLevel = "info"

  func validate() throws {
    guard Logger.Level(rawValue: logLevel) != nil else {
      throw ValidationError("--log-level must be trace, debug, info, notice, warning or error; got '\(logLevel)'")
    }
  }

  /// Logs to standard error: standard output is for results.
  func logger(_ label: String) -> Logger {
    var logger = Logger(label: label) { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = Logger.Level(rawValue: logLevel) ?? .info
    return logger
  }
}

struct HostAndPort {
  let host: String
  let port: Int

  /// nil unless `text` is a host, a colon and a port; an IPv6 address stands in brackets.
  init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (0...65_535).contains(port)
    else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard !host.isEmpty else { return nil }
    self.host = String(host)
    self.port = port
  }
}
