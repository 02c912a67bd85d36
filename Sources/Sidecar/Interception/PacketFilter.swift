import Foundation
import Subprocess
import SystemPackage

/// Reads and sets one family's packet rules in the current network namespace by the `iptables` tools.
struct PacketFilter: Sendable {
  let backend: PacketFilterBackend
  let family: IPFamily

  private static let maximumBytes = 1 << 20

  /// Debian, Alpine and Fedora all name them so.
  func tool(_ action: String) -> String { "\(family == .ipv4 ? "iptables" : "ip6tables")-\(backend)-\(action)" }

  /// - Throws: `InterceptionError`
  func save() async throws(InterceptionError) -> SavedRules {
    SavedRules(parsing: try await run(tool("save"), [], input: ""))
  }

  /// Sets rules atomically by table, waiting for whoever else holds the lock.
  /// - Throws: `InterceptionError`
  func restore(_ text: String) async throws(InterceptionError) {
    _ = try await run(tool("restore"), ["--noflush", "-w", "10"], input: text)
  }

  private func run(
    _ program: String, _ arguments: [String], input: String
  ) async throws(InterceptionError) -> String {
    let result: ExecutionResult<Void, StringOutput<UTF8>, StringOutput<UTF8>>
    do {
      result = try await Subprocess.run(
        .path(FilePath(try Self.locate(program))), arguments: Arguments(arguments), input: .string(input),
        output: .string(limit: Self.maximumBytes), error: .string(limit: Self.maximumBytes))
    } catch let error as InterceptionError {
      throw error
    } catch {
      throw InterceptionError("\(program) could not be run: \(error)")
    }
    guard result.terminationStatus.isSuccess else {
      let said = result.standardError.split(whereSeparator: \.isNewline).prefix(3).joined(separator: "; ")
      throw InterceptionError(
        "\(program) failed (\(result.terminationStatus)): \(said.isEmpty ? "it said nothing" : said)")
    }
    return result.standardOutput
  }

  /// - Throws: `InterceptionError` when the tool is not installed.
  private static func locate(_ program: String) throws(InterceptionError) -> String {
    // An init container's search path may lack the folders of administration.
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    for folder in path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"] {
      let candidate = "\(folder)/\(program)"
      if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
    }
    throw InterceptionError("\(program) is not installed; install the package iptables")
  }
}
