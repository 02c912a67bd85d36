import CASACore
import Enforcement

/// A request's fields as they were sent, copied once out of Envoy's memory, and its body.
struct FilteredRequest: Sendable {
  /// In order, with the pseudo-fields.
  let fields: [RawField]
  let body: [UInt8]
  /// Under which an admission is remembered; nil for a request that is too large for it.
  let key: RequestKey?

  /// The value of a pseudo-field; nil when it is missing or there twice.
  private func pseudo(_ name: StaticString) -> ArraySlice<UInt8>? {
    var found: ArraySlice<UInt8>?
    for field in fields where field.name.first == UInt8(ascii: ":") && field.name.hasBytes(of: name) {
      guard found == nil else { return nil }
      found = field.value
    }
    return found
  }

  /// - Throws: `Refusal` when it is not a request that can be decided about.
  func intercepted() throws(Refusal) -> InterceptedRequest {
    guard let method = pseudo(":method"), let target = pseudo(":path"), let host = pseudo(":authority") else {
      throw Refusal(.malformedRequest, "the request must have a method, a target and a host, each once")
    }
    return try InterceptedRequest(method: method, target: target, host: host, fields: fields, body: body)
  }

  /// The body of the question about it: each field as `<name bytes>,<value bytes>:<name><value>`, `;`, the body.
  var envelope: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(fields.reduce(body.count + 1) { $0 + $1.name.count + $1.value.count + 10 })
    for field in fields {
      bytes.append(decimal: field.name.count)
      bytes.append(UInt8(ascii: ","))
      bytes.append(decimal: field.value.count)
      bytes.append(UInt8(ascii: ":"))
      bytes.append(contentsOf: field.name)
      bytes.append(contentsOf: field.value)
    }
    bytes.append(UInt8(ascii: ";"))
    bytes.append(contentsOf: body)
    return bytes
  }
}

extension [UInt8] {
  /// - Parameter number: 0 or more.
  fileprivate mutating func append(decimal number: Int) {
    if number >= 10 { append(decimal: number / 10) }
    append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10))
  }
}
