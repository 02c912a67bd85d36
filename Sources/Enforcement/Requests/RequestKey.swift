import AgentProtocols

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Everything of a request that a decision can depend on, byte for byte: two requests with one key are decided alike,
/// if the key `represents` one of them.
///
/// Left out is what agents give every request anew: the id of a JSON-RPC request, the span of a `traceparent`, Envoy's
/// id, and the body's length, which follows from the body.
public struct RequestKey: Sendable, Hashable {
  /// A request that takes more is never remembered.
  public static let maximumBytes = 8192

  private let bytes: [UInt8]
  let hash: UInt64
  /// Where in the body the number stood that is left out; nil when there was none.
  private let idOffset: Int?

  /// Takes a request's parts out of whatever memory they lie in.
  public struct Writer: ~Copyable {
    fileprivate let buffer: UnsafeMutableBufferPointer<UInt8>
    fileprivate var count = 0
    fileprivate var bodyStart: Int?
    fileprivate var isOverfull = false

    fileprivate init(_ buffer: UnsafeMutableBufferPointer<UInt8>) { self.buffer = buffer }

    public mutating func append(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
      // Counts in front of everything: no two requests are written alike.
      append(count: name.count)
      append(name)
      if Self.isLeftOut(name) { return }
      if let trace = Self.trace(name, value) {
        append(count: Self.traceMark)
        return append(trace)
      }
      append(count: value.count)
      append(value)
    }

    public mutating func append(body: UnsafeRawBufferPointer) {
      bodyStart = bodyStart ?? count
      append(body)
    }

    /// In place of a value's length, which is never as large.
    private static let traceMark = Int(UInt16.max)

    /// Envoy makes an id for each request, and no decision looks at it. Nor at the body's length, which Envoy has
    /// checked.
    private static func isLeftOut(_ name: UnsafeRawBufferPointer) -> Bool {
      name.hasBytes(of: "x-request-id") || name.hasBytes(of: "content-length")
    }

    /// The trace of a `traceparent` as `TraceParent` reads it, which is all that a decision takes of it; nil for any
    /// other field or value.
    private static func trace(
      _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) -> UnsafeRawBufferPointer? {
      guard name.hasBytes(of: "traceparent"), TraceParent.isWellFormed(value) else { return nil }
      return UnsafeRawBufferPointer(rebasing: value[TraceParent.traceRange])
    }

    fileprivate mutating func append(count number: Int) {
      guard number <= UInt16.max, count + 2 <= buffer.count else {
        isOverfull = true
        return
      }
      buffer[count] = UInt8(truncatingIfNeeded: number >> 8)
      buffer[count + 1] = UInt8(truncatingIfNeeded: number)
      count += 2
    }

    /// Takes the number out of the body that may be the request's id.
    /// - Returns: where in the body it stood.
    fileprivate mutating func leaveOutID() -> Int? {
      guard !isOverfull, let bodyStart, let start = buffer.baseAddress else { return nil }
      let body = UnsafeRawBufferPointer(start: start + bodyStart, count: count - bodyStart)
      guard let digits = JSONRPCIDLocation.candidate(in: body)?.digits else { return nil }
      let rest = bodyStart + digits.upperBound
      memmove(start + bodyStart + digits.lowerBound, start + rest, count - rest)
      count -= digits.count
      return digits.lowerBound
    }

    private mutating func append(_ bytes: UnsafeRawBufferPointer) {
      guard let from = bytes.baseAddress else { return }
      guard bytes.count <= buffer.count - count, let to = buffer.baseAddress else {
        isOverfull = true
        return
      }
      memcpy(to + count, from, bytes.count)
      count += bytes.count
    }
  }

  /// - Parameters:
  ///   - fieldCount: how many fields `write` appends, before it appends the body.
  ///   - byteCount: of all that is appended.
  /// - Returns: nil for a request that is too large to be remembered.
  public init?(fieldCount: Int, byteCount: Int, _ write: (inout Writer) -> Void) {
    let size = byteCount + 4 * fieldCount + 4
    guard byteCount <= Self.maximumBytes, fieldCount <= Self.maximumBytes, size <= Self.maximumBytes else { return nil }
    // An array whose bytes are written over; made in this way it needs no look at its type while the program runs.
    var bytes: [UInt8] = []
    bytes.reserveCapacity(size)
    bytes.append(contentsOf: repeatElement(0, count: size))
    let written = bytes.withUnsafeMutableBufferPointer { buffer -> (count: Int, idOffset: Int?)? in
      var writer = Writer(buffer)
      writer.append(count: fieldCount)
      write(&writer)
      let idOffset = writer.leaveOutID()
      // Where it stood, so that no two bodies are written alike of which it was taken out.
      writer.append(count: idOffset ?? Int(UInt16.max))
      return writer.isOverfull ? nil : (writer.count, idOffset)
    }
    guard let written else { return nil }
    bytes.removeLast(size - written.count)
    self.bytes = bytes
    idOffset = written.idOffset
    hash = bytes.withUnsafeBytes { RequestHash.hash($0) }
  }

  /// - Returns: nil for a request that is too large to be remembered.
  public init?(fields: [RawField], body: [UInt8]) {
    self.init(
      fieldCount: fields.count,
      byteCount: fields.reduce(body.count) { $0 + $1.name.count + $1.value.count }
    ) { writer in
      for field in fields {
        field.name.withUnsafeBytes { name in field.value.withUnsafeBytes { writer.append(name: name, value: $0) } }
      }
      body.withUnsafeBytes { writer.append(body: $0) }
    }
  }

  /// Whether an admission of a request holds for every other of the same key, which may have another id: what was left
  /// out is the id of the request itself, and nothing that comes of it names the id.
  /// - Parameter body: the body of the request that was admitted: strict JSON whose value is an object, with no name twice,
  ///   when there was something left out.
  public func represents(_ admission: Admission, of body: [UInt8]) -> Bool {
    guard let idOffset else { return true }
    return admission.offer?.namesRequest != true && JSONRPCIDLocation(in: body)?.offset == idOffset
  }

  public static func == (a: Self, b: Self) -> Bool {
    guard a.hash == b.hash, a.bytes.count == b.bytes.count else { return false }
    return a.bytes.withUnsafeBytes { a in
      b.bytes.withUnsafeBytes { b in
        guard let first = a.baseAddress, let second = b.baseAddress else { return a.isEmpty }
        return memcmp(first, second, a.count) == 0
      }
    }
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(hash) }
}
