/// Everything of a request that a decision can depend on, byte for byte: two requests with one key are decided alike.
public struct RequestKey: Sendable, Hashable {
  /// A request that takes more is never remembered.
  public static let maximumBytes = 8192

  private let bytes: [UInt8]

  /// - Returns: nil for a request that is too large to be remembered.
  public init?(fields: [RawField], body: [UInt8]) {
    // Counts in front of everything: no two requests are written alike.
    var size = body.count + 2
    for field in fields { size += field.name.count + field.value.count + 4 }
    guard size <= Self.maximumBytes else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(size)
    func append(count: Int) {
      bytes.append(UInt8(truncatingIfNeeded: count >> 8))
      bytes.append(UInt8(truncatingIfNeeded: count))
    }
    append(count: fields.count)
    for field in fields {
      append(count: field.name.count)
      bytes.append(contentsOf: field.name)
      if field.name.elementsEqual(Self.requestID) { continue }
      append(count: field.value.count)
      bytes.append(contentsOf: field.value)
    }
    bytes.append(contentsOf: body)
    self.bytes = bytes
  }

  /// Envoy makes one for each request, and no decision looks at it.
  private static let requestID = Array("x-request-id".utf8)

  public func hash(into hasher: inout Hasher) {
    bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
  }
}
