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
      switch name.count {
      case 11 where name.hasBytes(of: "traceparent") && TraceParent.isWellFormed(value):
        // Its trace, which is all that a decision takes of one that `TraceParent` reads.
        append(name, UnsafeRawBufferPointer(rebasing: value[TraceParent.traceRange]), mark: Self.traceMark)
      case 12 where name.hasBytes(of: "x-request-id"), 14 where name.hasBytes(of: "content-length"):
        // Envoy makes an id for each request, and no decision looks at it. Nor at the body's length, which Envoy has
        // checked.
        append(name, UnsafeRawBufferPointer(start: nil, count: 0), mark: Self.leftOutMark)
      default: append(name, value)
      }
    }

    public mutating func append(body: UnsafeRawBufferPointer) {
      bodyStart = bodyStart ?? count
      guard let from = body.baseAddress else { return }
      guard body.count <= buffer.count - count, let to = buffer.baseAddress else {
        isOverfull = true
        return
      }
      memcpy(to + count, from, body.count)
      count += body.count
    }

    /// In place of a value's length, which is never as large.
    private static let traceMark = UInt16.max
    private static let leftOutMark = UInt16.max - 1

    /// Lengths in front of everything: no two requests are written alike.
    private mutating func append(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, mark: UInt16? = nil) {
      let size = 4 + name.count + value.count
      guard size <= buffer.count - count, let start = buffer.baseAddress else {
        isOverfull = true
        return
      }
      let to = UnsafeMutableRawPointer(start + count)
      // Nothing is longer than 16 bits can say that finds room.
      to.storeBytes(of: UInt16(truncatingIfNeeded: name.count), as: UInt16.self)
      to.storeBytes(of: mark ?? UInt16(truncatingIfNeeded: value.count), toByteOffset: 2, as: UInt16.self)
      if let from = name.baseAddress { memcpy(to + 4, from, name.count) }
      if let from = value.baseAddress { memcpy(to + 4 + name.count, from, value.count) }
      count += size
    }

    fileprivate mutating func append(count number: UInt16) {
      guard 2 <= buffer.count - count, let start = buffer.baseAddress else {
        isOverfull = true
        return
      }
      UnsafeMutableRawPointer(start + count).storeBytes(of: number, as: UInt16.self)
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
  }

  /// - Parameters:
  ///   - fieldCount: how many fields `write` appends, before it appends the body.
  ///   - byteCount: of all that is appended.
  /// - Returns: nil for a request that is too large to be remembered.
  public init?(fieldCount: Int, byteCount: Int, _ write: (inout Writer) -> Void) {
    let size = byteCount + 4 * fieldCount + 4
    guard byteCount <= Self.maximumBytes, fieldCount <= Self.maximumBytes, size <= Self.maximumBytes else { return nil }
    var idOffset: Int?
    var hash: UInt64 = 0
    bytes = Array(unsafeUninitializedCapacity: size) { buffer, count in
      var writer = Writer(buffer)
      writer.append(count: UInt16(truncatingIfNeeded: fieldCount))
      write(&writer)
      idOffset = writer.leaveOutID()
      // Where it stood, so that no two bodies are written alike of which it was taken out.
      writer.append(count: idOffset.map { UInt16(truncatingIfNeeded: $0) } ?? UInt16.max)
      guard !writer.isOverfull else { return }
      count = writer.count
      hash = RequestHash.hash(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
    }
    // There is always a count in front.
    guard !bytes.isEmpty else { return nil }
    self.idOffset = idOffset
    self.hash = hash
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
