import AgentProtocols
import CASACore

/// A header field as a proxy sent it on.
public struct RawField: Sendable {
  public let name: ArraySlice<UInt8>
  public let value: ArraySlice<UInt8>

  public init(name: ArraySlice<UInt8>, value: ArraySlice<UInt8>) {
    self.name = name
    self.value = value
  }
}

/// A field that Envoy itself makes.
public enum EnvoyField {
  public static let partialBody = "x-envoy-auth-partial-body"
}

extension InterceptedRequest {
  /// Takes over what a proxy says of a request, however it says it.
  /// - Parameters:
  ///   - host: what the proxy made of all `Host` fields.
  ///   - fields: may hold pseudo-fields, which are left out.
  /// - Throws: `Refusal` when the target or a header is not text, or the body is there only in part.
  public init(
    method: ArraySlice<UInt8>, target: ArraySlice<UInt8>, host: ArraySlice<UInt8>, fields: [RawField], body: [UInt8]
  ) throws(Refusal) {
    guard !fields.isEmpty else {
      throw Refusal(.malformedRequest, "the proxy must send raw headers (encode_raw_headers)")
    }
    var headers: [(name: String, value: String)] = []
    headers.reserveCapacity(fields.count)
    for field in fields where field.name.first != UInt8(ascii: ":") {
      let name = try Self.name(field.name)
      // Envoy lets a bare carriage return pass, which a lenient receiver takes for the end of a line.
      guard field.value.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
        throw Refusal(.malformedRequest, "the header `\(name)` has a control character")
      }
      guard let value = String(validating: field.value, as: UTF8.self) else {
        throw Refusal(.malformedRequest, "the header `\(name)` is not UTF-8")
      }
      // Whatever compares or hashes it would take time quadratic in their number.
      guard CombiningMarks.areBounded(in: value) else {
        throw Refusal(
          .malformedRequest,
          "the header `\(name)` has more than \(CombiningMarks.maximumRun) combining marks in a row")
      }
      if name == EnvoyField.partialBody {
        guard haveSameBytes(value, "false") else {
          throw Refusal(.bodyTooLarge, "the body is larger than the proxy holds")
        }
      } else {
        headers.append((name, value))
      }
    }
    // Of several `Host` fields Envoy makes one, with commas.
    guard !host.contains(UInt8(ascii: ",")) else {
      throw Refusal(.malformedRequest, "the header `host` was sent twice")
    }
    guard let method = String(validating: method, as: UTF8.self), !method.isEmpty else {
      throw Refusal(.malformedRequest, "the request has no method")
    }
    // Swift's comparison of paths takes some other characters for ASCII ones.
    guard target.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw Refusal(.malformedRequest, "the request's target must be of printable ASCII characters")
    }
    let path = target.prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
    let query = path.endIndex == target.endIndex ? nil : target[(path.endIndex + 1)...]
    self.init(
      method: method, path: String(decoding: path, as: UTF8.self),
      query: query.map { String(decoding: $0, as: UTF8.self) },
      headers: headers, body: body)
  }

  private static func name(_ bytes: ArraySlice<UInt8>) throws(Refusal) -> String {
    var needsFolding = false
    for byte in bytes {
      guard (0x21...0x7E).contains(byte) else { throw Refusal(.malformedRequest, "a header's name is not ASCII") }
      if (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) { needsFolding = true }
    }
    guard !bytes.isEmpty else { throw Refusal(.malformedRequest, "a header has no name") }
    let name = String(decoding: bytes, as: UTF8.self)
    return needsFolding ? name.lowercased() : name
  }
}
