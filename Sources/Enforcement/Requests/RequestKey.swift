#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Everything of a request that a decision can depend on, byte for byte: two requests with one key are decided alike.
public struct RequestKey: Sendable, Hashable {
  /// A request that takes more is never remembered.
  public static let maximumBytes = 8192

  private let bytes: [UInt8]
  let hash: UInt64

  /// Takes a request's parts out of whatever memory they lie in.
  public struct Writer: ~Copyable {
    fileprivate let buffer: UnsafeMutableBufferPointer<UInt8>
    fileprivate var count = 0
    fileprivate var isOverfull = false

    fileprivate init(_ buffer: UnsafeMutableBufferPointer<UInt8>) { self.buffer = buffer }

    public mutating func append(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
      // Counts in front of everything: no two requests are written alike.
      append(count: name.count)
      append(name)
      if isRequestID(name) { return }
      append(count: value.count)
      append(value)
    }

    public mutating func append(body: UnsafeRawBufferPointer) { append(body) }

    /// Envoy makes one for each request, and no decision looks at it.
    private func isRequestID(_ name: UnsafeRawBufferPointer) -> Bool {
      let requestID: StaticString = "x-request-id"
      guard name.count == requestID.utf8CodeUnitCount, let start = name.baseAddress else { return false }
      return memcmp(start, requestID.utf8Start, name.count) == 0
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
    let size = byteCount + 4 * fieldCount + 2
    guard byteCount <= Self.maximumBytes, fieldCount <= Self.maximumBytes, size <= Self.maximumBytes else { return nil }
    // An array whose bytes are written over; made in this way it needs no look at its type while the program runs.
    var bytes: [UInt8] = []
    bytes.reserveCapacity(size)
    bytes.append(contentsOf: repeatElement(0, count: size))
    let written = bytes.withUnsafeMutableBufferPointer { buffer -> Int? in
      var writer = Writer(buffer)
      writer.append(count: fieldCount)
      write(&writer)
      return writer.isOverfull ? nil : writer.count
    }
    guard let written else { return nil }
    bytes.removeLast(size - written)
    self.bytes = bytes
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
