import CASACore
import Logging
import ServiceLifecycle
import Synchronization
import TokenService

/// Keeps what is known of the servers' tools true: asks a new server until it answers, and every one again each
/// minute. Never part of an exchange.
struct ToolDiscovery: Service {
  static let interval = Duration.seconds(60)
  static let retryInterval = Duration.seconds(2)
  /// How many servers are asked at a time, so that one that does not answer keeps few others waiting.
  static let concurrency = 16

  let server: AuthorizationServer
  let source: any ToolSource
  let logger: Logger

  func run() async throws {
    await cancelWhenGracefulShutdown {
      var due: [AppID: ContinuousClock.Instant] = [:]
      while !Task.isCancelled {
        let now = ContinuousClock.now
        let apps = server.registry.apps(of: nil).filter { $0.kind == .mcpServer }
        let ids = Set(apps.map(\.id))
        due = due.filter { id, _ in ids.contains(id) }
        let answered = await check(apps.filter { due[$0.id] ?? now <= now })
        for (id, isAnswered) in answered { due[id] = now + (isAnswered ? Self.interval : Self.retryInterval) }
        do { try await Task.sleep(for: .milliseconds(500)) } catch { return }
      }
    }
  }

  /// - Returns: which servers were asked, and whether they answered.
  private func check(_ apps: [App]) async -> [AppID: Bool] {
    await withTaskGroup(of: (AppID, Bool).self) { group in
      var answered: [AppID: Bool] = [:]
      for (index, app) in apps.enumerated() {
        if index >= Self.concurrency, let (id, isAnswered) = await group.next() { answered[id] = isAnswered }
        group.addTask { (app.id, await check(app)) }
      }
      for await (id, isAnswered) in group { answered[id] = isAnswered }
      return answered
    }
  }

  /// - Returns: whether the server answered.
  private func check(_ app: App) async -> Bool {
    do {
      let tools = try await server.discoverTools(of: app.id, from: source)
      let unapproved = tools.filter { !$0.isPinned }
      if !unapproved.isEmpty {
        logger.warning(
          "tools are not as they were approved",
          metadata: ["app": "\(app.name)", "tools": "\(unapproved.map { "\($0.name) (\($0.status))" })"])
      }
      return true
    } catch {
      logger.debug("tools could not be listed", metadata: ["app": "\(app.name)", "error": "\(error)"])
      return false
    }
  }
}
