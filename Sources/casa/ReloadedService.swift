import Crypto
import Foundation
import Logging
import ServiceLifecycle

/// A service that is made from files, and made anew whenever they say something else. What can't be made is told of,
/// and what was made last goes on.
struct ReloadedService<Made: Service>: Service {
  /// What is to be run, and the files that it came from.
  struct Plan {
    let service: Made
    let files: [String]
  }

  private let plan: @Sendable () throws -> Plan
  private let interval: Duration
  private let logger: Logger

  /// - Parameters:
  ///   - interval: how often the files are looked at. Kubelets write Secrets anew up to a minute after they changed, so
  ///     looking costs more than it gains when it is done more often.
  ///   - plan: reads the files.
  init(interval: Duration = .seconds(2), logger: Logger, _ plan: @escaping @Sendable () throws -> Plan) {
    self.interval = interval
    self.logger = logger
    self.plan = plan
  }

  /// Until the service ends by itself or a graceful shutdown begins.
  func run() async throws {
    var current = try plan()
    while true {
      // Before the service is made, so that no change in between is missed: at worst one is taken for new.
      let seen = Self.fingerprint(current.files)
      let next = try await withThrowingTaskGroup(of: Plan?.self) { group in
        group.addTask { [current] in
          try await current.service.run()
          return nil
        }
        group.addTask { [current] in try await changed(from: seen, current.files) }
        let first = try await group.next() ?? nil
        group.cancelAll()
        // The service has to have ended before another one takes its address.
        while (try? await group.next()) != nil {}
        return first
      }
      guard let next, !Task.isCancelled, !Task.isShuttingDownGracefully else { return }
      logger.notice("the workload's files changed; starting anew with them")
      current = next
    }
  }

  /// Waits until the files can be made another service from; nil when the task ends first.
  private func changed(from seen: [UInt8], _ files: [String]) async throws -> Plan? {
    var refused = seen
    while true {
      do { try await Task.sleep(for: interval) } catch { return nil }
      let now = Self.fingerprint(files)
      guard now != seen, now != refused else { continue }
      do {
        return try plan()
      } catch {
        // Told once for each state of the files.
        refused = now
        logger.error("the workload's changed files can't be used; going on as before", metadata: ["error": "\(error)"])
      }
    }
  }

  private static func fingerprint(_ files: [String]) -> [UInt8] {
    var hash = SHA256()
    for file in files {
      let data = FileManager.default.contents(atPath: file)
      hash.update(data: Data("\(data?.count ?? -1):".utf8))
      hash.update(data: data ?? Data())
    }
    return Array(hash.finalize())
  }
}
