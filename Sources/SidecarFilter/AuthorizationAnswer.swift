import AgentProtocols
import CASACore
import Enforcement

/// The authorization service's answer to a question, read strictly: whatever is not exactly one is none.
struct AuthorizationAnswer: Sendable {
  struct Changes: Sendable {
    var set: [(name: [UInt8], value: [UInt8])] = []
    var remove: [[UInt8]] = []
    /// For the filters behind this one and the access log.
    var metadata: [(key: StaticString, value: [UInt8])] = []
  }

  struct Reply: Sendable {
    var status: UInt32 = 403
    var fields: [(name: StaticString, value: [UInt8])] = []
    var body: [UInt8] = []
  }

  enum Verdict: Sendable {
    case admit(Changes)
    case refuse(Reply)
  }

  let verdict: Verdict
  let epoch: UInt64
  let facts: JSONValue?

  struct Malformed: Error {}

  static let maximumFields = 256
  /// Facts have the workload's identity with all its tools in them.
  static let maximumBodyBytes = 1 << 20

  init(fields: [RawField], body: [UInt8]) throws(Malformed) {
    guard fields.count <= Self.maximumFields, body.count <= Self.maximumBodyBytes else { throw Malformed() }
    let reader = FieldReader(fields: fields)
    guard try reader.single(":status")?.hasBytes(of: "200") == true,
      let epoch = try reader.single("x-casa-epoch").flatMap({ wholeNumber($0) }),
      let verdict = try reader.single("x-casa-verdict")
    else { throw Malformed() }
    self.epoch = epoch
    if verdict.hasBytes(of: "admit") {
      self.verdict = .admit(try Self.changes(reader))
      if body.isEmpty {
        facts = nil
      } else {
        guard let json = try? JSONValue(parsing: body), json.object != nil else { throw Malformed() }
        facts = json
      }
    } else if verdict.hasBytes(of: "refuse") {
      self.verdict = .refuse(try Self.reply(reader, body: body))
      facts = nil
    } else {
      throw Malformed()
    }
  }

  private static func changes(_ reader: FieldReader) throws(Malformed) -> Changes {
    var changes = Changes()
    let prefix = "x-casa-set-".utf8
    for field in reader.fields where field.name.starts(with: prefix) {
      let name = Array(field.name.dropFirst(prefix.count))
      // Envoy takes an empty value for the wish to remove the field.
      guard isFieldName(name[...]), !field.value.isEmpty, isFieldValue(field.value),
        !changes.set.contains(where: { $0.name == name })
      else {
        throw Malformed()
      }
      changes.set.append((name, Array(field.value)))
    }
    if let list = try reader.single("x-casa-remove") {
      for part in list.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
        let name = part.drop { $0 == 0x20 }
        guard isFieldName(name) else { throw Malformed() }
        changes.remove.append(Array(name))
      }
    }
    for (field, key): (StaticString, StaticString) in [
      ("x-casa-answer-token", "answer_token"), ("x-casa-offer", "offer"), ("x-casa-decision", "decision"),
    ] {
      guard let value = try reader.single(field) else { continue }
      guard isFieldValue(value), String(validating: value, as: UTF8.self) != nil else { throw Malformed() }
      changes.metadata.append((key, Array(value)))
    }
    return changes
  }

  private static func reply(_ reader: FieldReader, body: [UInt8]) throws(Malformed) -> Reply {
    var reply = Reply()
    guard let status = try reader.single("x-casa-status").flatMap({ wholeNumber($0) }), (400...599).contains(status)
    else { throw Malformed() }
    reply.status = UInt32(status)
    for name: StaticString in ["content-type", "www-authenticate", "x-casa-decision", "retry-after"] {
      guard let value = try reader.single(name) else { continue }
      guard isFieldValue(value) else { throw Malformed() }
      reply.fields.append((name, Array(value)))
    }
    reply.body = body
    return reply
  }

  /// What an answer of either endpoint says of the epoch; nil when it is not of the authorization service.
  static func epoch(fields: [RawField], status: StaticString) -> UInt64? {
    let reader = FieldReader(fields: fields)
    guard (try? reader.single(":status"))??.hasBytes(of: status) == true else { return nil }
    return (try? reader.single("x-casa-epoch")).flatMap { $0 }.flatMap { wholeNumber($0) }
  }
}

private struct FieldReader {
  let fields: [RawField]

  /// - Throws: when it is there twice.
  func single(_ name: StaticString) throws(AuthorizationAnswer.Malformed) -> ArraySlice<UInt8>? {
    var found: ArraySlice<UInt8>?
    for field in fields where field.name.hasBytes(of: name) {
      guard found == nil else { throw AuthorizationAnswer.Malformed() }
      found = field.value
    }
    return found
  }
}

/// A decimal number without sign, space or zero in front.
private func wholeNumber(_ bytes: ArraySlice<UInt8>) -> UInt64? {
  guard (1...20).contains(bytes.count), bytes.count == 1 || bytes.first != UInt8(ascii: "0") else { return nil }
  var number: UInt64 = 0
  for byte in bytes {
    guard (0x30...0x39).contains(byte) else { return nil }
    let (tens, overflow) = number.multipliedReportingOverflow(by: 10)
    let (sum, carry) = tens.addingReportingOverflow(UInt64(byte - 0x30))
    guard !overflow, !carry else { return nil }
    number = sum
  }
  return number
}

/// A token in lower case (RFC 9110 section 5.1), so never a pseudo-field.
private func isFieldName(_ bytes: ArraySlice<UInt8>) -> Bool {
  !bytes.isEmpty && bytes.count <= 256
    && bytes.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D || $0 == 0x5F }
}

private func isFieldValue(_ bytes: ArraySlice<UInt8>) -> Bool {
  bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }
}
