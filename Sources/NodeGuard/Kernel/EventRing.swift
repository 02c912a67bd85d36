import CNodeGuard
import Crypto

/// The kernel's events, which stay in the kernel until they are given back.
final class EventRing {
  private let ring: OpaquePointer
  private let descriptor: KernelMapDescriptor
  /// Names this ring among all that there ever are.
  private let source: UInt64

  init(of pins: PinDirectory, clock: BootClock) throws(KernelFailure) {
    descriptor = try KernelMapDescriptor(pins.map("events"))
    var failure = casa_failure()
    guard let ring = casa_ring_open(descriptor.number, &failure) else { throw KernelFailure(failure) }
    self.ring = ring
    source = leadingDigits(SHA256.hash(data: Array("\(clock.boot) \(casa_ring_id(ring))".utf8)))
  }

  deinit { casa_ring_close(ring) }

  /// Up to `limit` events, the oldest first; the same ones again until `release()`.
  /// - Parameter body: is given where each event stands, and its bytes.
  /// - Returns: how many there were.
  func read(atMost limit: Int, _ body: (SpoolPosition, UnsafeRawBufferPointer) -> Void) -> Int {
    withUnsafeTemporaryAllocation(of: casa_event.self, capacity: limit) { events in
      withUnsafeTemporaryAllocation(of: UInt64.self, capacity: limit) { ends in
        let count = Int(casa_ring_read(ring, events.baseAddress, ends.baseAddress, Int32(limit)))
        let stride = MemoryLayout<casa_event>.stride
        let bytes = UnsafeRawBufferPointer(events)
        for index in 0..<count {
          body(
            SpoolPosition(source: source, offset: ends[index]),
            UnsafeRawBufferPointer(rebasing: bytes[index * stride..<(index + 1) * stride]))
        }
        return count
      }
    }
  }

  /// Behind what was read last.
  var end: SpoolPosition { SpoolPosition(source: source, offset: casa_ring_end(ring)) }

  /// Gives back what was read last: it is stored elsewhere.
  func release() { casa_ring_release(ring) }

  /// Bytes that wait.
  var fill: Int { Int(casa_ring_fill(ring)) }
}
