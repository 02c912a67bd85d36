import AgentProtocols
import CASACore
import Enforcement

@testable import EnvoyAuthorization

@Sendable func fuzzCheckRequest(_ bytes: [UInt8]) {
  guard let question = try? CheckRequestReader(parsing: bytes) else { return }
  require(question.fields.count <= 1000, "the number of fields is bounded")
  let slices = [question.method, question.target, question.host, question.body]
  require(slices.allSatisfy { $0.startIndex >= 0 && $0.endIndex <= bytes.count }, "what is read stands in the bytes")
  // Written again in the plainest way, it is read as the same.
  func text(_ bytes: ArraySlice<UInt8>) -> String? { String(validating: bytes, as: UTF8.self) }
  if let method = text(question.method), let target = text(question.target), let host = text(question.host),
    let body = text(question.body)
  {
    let fields = question.fields.compactMap { field in
      text(field.name).flatMap { name in text(field.value).map { (name: name, value: $0) } }
    }
    if fields.count == question.fields.count {
      var writer = ProtobufWriter()
      writer.write(1) { attributes in
        attributes.write(4) { request in
          request.write(2) { http in
            http.write(2, text: method)
            http.write(4, text: target)
            http.write(5, text: host)
            http.write(11, text: body)
            http.write(13) { map in
              for field in fields {
                map.write(1) {
                  $0.write(1, text: field.name)
                  $0.write(2, text: field.value)
                }
              }
            }
          }
        }
      }
      guard let again = try? CheckRequestReader(parsing: writer.bytes) else {
        fatalError("broken: what is written can be read")
      }
      require(
        [again.method, again.target, again.host, again.body].elementsEqual(slices, by: { $0.elementsEqual($1) }),
        "the request is the same")
      require(
        again.fields.elementsEqual(question.fields) {
          $0.name.elementsEqual($1.name) && $0.value.elementsEqual($1.value)
        }, "the fields are the same")
    }
  }
  guard
    let request = try? InterceptedRequest(
      method: question.method, target: question.target, host: question.host, fields: question.fields,
      body: Array(question.body))
  else { return }
  requireClean(request, fieldCount: question.fields.count)
}

/// What the rules rely on in every request, however the proxy described it.
func requireClean(_ request: InterceptedRequest, fieldCount: Int) {
  require(request.headers.count <= fieldCount, "no header is made up")
  for header in request.headers {
    require(
      header.name.utf8.allSatisfy { (0x21...0x7E).contains($0) && !(0x41...0x5A).contains($0) },
      "a header's name is in lower case")
    require(
      header.value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }, "a header's value is one line of text")
    require(header.name.utf8.first != UInt8(ascii: ":"), "a pseudo-field is no header")
  }
  require(
    request.path.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") },
    "a path is printable and has no query")
}

@Sendable func fuzzRecordLines(_ bytes: [UInt8]) {
  guard let lines = RecordLines(parsing: bytes)?.lines else { return }
  require(lines.count <= 10_000, "the number of lines is bounded")
  require(
    lines.allSatisfy { (1...1_000_000_000).contains($0.count) && $0.record.object != nil },
    "a line is a count and an object")
  let ends = bytes.lazy.filter { $0 == 0x0A }.count
  require(lines.count == ends || lines.count == ends + 1, "each line is one record")
  let written = lines.map { "\($0.count) \($0.record.canonicalText)\n" }.joined()
  guard let again = RecordLines(parsing: Array(written.utf8))?.lines else {
    fatalError("broken: what is written can be read")
  }
  require(again.elementsEqual(lines) { $0.count == $1.count && $0.record == $1.record }, "the lines are the same")
}

@Sendable func fuzzPackedToken(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  var examples = PackedToken.Examples()
  let packed = PackedToken(text, sharing: &examples)
  require(packed.map { haveSameBytes($0.compact, text) } ?? true, "a token comes out as it went in")
  require(packed != nil || (try? CompactJWS(parsing: text)) == nil, "each token can be kept")
  let again = PackedToken(text, sharing: &examples)
  require((again == nil) == (packed == nil), "sharing a header changes nothing")
  require(again.map { haveSameBytes($0.compact, text) } ?? true, "a token comes out as it went in")
}

/// Lines of words, each of another session; what follows an empty line is the text.
@Sendable func fuzzTextIndex(_ bytes: [UInt8]) {
  let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
  guard let end = lines.firstIndex(of: ""), end <= 8 else { return }
  let text = lines[(end + 1)...].joined(separator: "\n")
  var index = TextIndex()
  var words: [(text: [UInt8], trace: TraceID)] = []
  func stripped(_ text: String) -> [UInt8] {
    let isSpace: (UInt8) -> Bool = { [0x20, 0x09, 0x0A, 0x0B, 0x0C, 0x0D].contains($0) }
    return Array(text.utf8.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
  }
  for (number, line) in lines[..<end].enumerated() {
    guard let trace = TraceID(String(repeating: "0", count: 31) + String(number + 1)) else { continue }
    index.insert(line, for: trace)
    words.append((stripped(line), trace))
  }
  let whole = stripped(text)
  func holds(_ words: [UInt8]) -> Bool {
    guard !words.isEmpty else { return false }
    guard words.count >= 16 else { return words == whole }
    guard whole.count >= words.count else { return false }
    return (0...(whole.count - words.count)).contains { whole[$0...].starts(with: words) }
  }
  let held = words.filter { holds($0.text) }
  let finding = index.find(in: [text], among: { _ in true })
  switch finding {
  case .none: require(held.isEmpty, "words that are there are found")
  case .one(let trace):
    require(held.contains { $0.trace == trace }, "only words that are there are found")
    // Those of no other session, but within longer words that are there too.
    require(
      held.allSatisfy { other in
        other.trace == trace || held.contains { $0.trace == trace && $0.text.count > other.text.count }
      }, "the words of another session are not passed over")
  case .several: require(Set(held.map(\.trace)).count > 1, "several means several")
  }
  require(index.find(in: [text], among: { _ in true }) == finding, "it is found again")
  require(index.find(in: [text], among: { _ in false }) == .none, "ended sessions are not found")
  index.remove { _ in true }
  require(index.find(in: [text], among: { _ in true }) == .none, "what was removed is not found")
}

@Sendable func fuzzIDLocation(_ bytes: [UInt8]) {
  guard case .request(let id, _, _)? = try? JSONRPCMessage(parsing: bytes, limits: .message),
    let location = JSONRPCIDLocation(in: bytes)
  else { return }
  let place = location.offset..<(location.offset + location.length)
  require(place.upperBound <= bytes.count, "the id stands in the body")
  let digits = String(decoding: bytes[place], as: UTF8.self)
  guard case .integer(let number) = id else { fatalError("broken: the id is a number") }
  require(digits == String(number), "these are the request's digits")
  // With other digits it is the same request with another id.
  let changed = Array(bytes[..<place.lowerBound] + "12345".utf8 + bytes[place.upperBound...])
  guard var before = accepted(bytes).object, var after = accepted(changed).object else { return }
  require(after["id"] == 12345, "these are the id's digits")
  before["id"] = nil
  after["id"] = nil
  require(before == after, "and nothing else's")
}
