import Synchronization

/// The token that a client shows. Kubelet writes a pod's token anew before it expires, so the file is read again.
final class BearerToken: Sendable {
  /// How long what was read is used.
  static let readAgainAfter = Duration.seconds(60)

  private enum Source {
    case text(String)
    case file(String)
  }

  private let source: Source
  private let now: @Sendable () -> ContinuousClock.Instant
  private let read = Mutex<(text: String, at: ContinuousClock.Instant)?>(nil)

  init(text: String) {
    source = .text(text)
    now = { .now }
  }

  init(file: String, now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }) {
    source = .file(file)
    self.now = now
  }

  /// A file that can't be read for a while leaves the token that was read last.
  /// - Throws: `ClusterAccessError` when it could never be read.
  func current() throws(ClusterAccessError) -> String {
    switch source {
    case .text(let text): return text
    case .file(let path):
      return try read.withLock { (known) throws(ClusterAccessError) -> String in
        if let known, now() - known.at < Self.readAgainAfter { return known.text }
        do throws(ClusterAccessError) {
          let text = try AccessFile.readLine(path)
          known = (text, now())
          return text
        } catch {
          guard let text = known?.text else { throw error }
          return text
        }
      }
    }
  }

  /// Has the file read at the next use: the server did not take what was read.
  /// - Returns: whether there is a file.
  func wasRefused() -> Bool {
    guard case .file = source else { return false }
    read.withLock { known in
      guard let text = known?.text else { return }
      known = (text, now() - Self.readAgainAfter)
    }
    return true
  }
}
