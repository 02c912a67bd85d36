import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The latest reports, for `casa node flows`: two files of JSON lines, of which the older goes when the newer is full.
/// It is a convenience: what must not be lost is in the spool.
public final class FlowLog: Sendable {
  static let maximumBytes = 16 << 20

  private let directory: String
  private let state: Mutex<State>

  private struct State {
    var descriptor: FileDescriptor
    var bytes: Int
  }

  /// The files in `directory`, the older first.
  public static func paths(in directory: String) -> [String] {
    ["\(directory)/flows.1.jsonl", "\(directory)/flows.jsonl"]
  }

  init(directory: String) throws {
    self.directory = directory
    let descriptor = try Self.open(directory)
    state = Mutex(State(descriptor: descriptor, bytes: Int(try descriptor.seek(offset: 0, from: .end))))
  }

  deinit { state.withLock { try? $0.descriptor.close() } }

  func append(_ lines: [String]) {
    if lines.isEmpty { return }
    let text = lines.joined(separator: "\n") + "\n"
    state.withLock { state in
      if state.bytes + text.utf8.count > Self.maximumBytes {
        let paths = Self.paths(in: directory)
        rename(paths[1], paths[0])
        if let new = try? Self.open(directory) {
          try? state.descriptor.close()
          state = State(descriptor: new, bytes: 0)
        }
      }
      // A full disk costs lines here, and nothing in the spool.
      state.bytes += (try? state.descriptor.writeAll(text.utf8)) ?? 0
    }
  }

  private static func open(_ directory: String) throws -> FileDescriptor {
    try FileDescriptor.open(
      FilePath(paths(in: directory)[1]), .writeOnly, options: [.create, .append, .closeOnExec],
      permissions: .ownerReadWrite)
  }
}
