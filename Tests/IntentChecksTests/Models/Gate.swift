import NIOCore
import NIOPosix
import Synchronization

/// Opens when so many have arrived.
final class Gate: Sendable {
  private let promise = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
  private let missing: Mutex<Int>

  init(parties: Int) { missing = Mutex(parties) }

  func arrive() -> EventLoopFuture<Void> {
    let isLast = missing.withLock { missing in
      missing -= 1
      return missing == 0
    }
    if isLast { promise.succeed() }
    return promise.futureResult
  }
}
