import AgentProtocols
import CASACore
import SeededRandom
import Testing

@Suite("The strict JSON parser")
struct JSONParserTests {
  private func problem(_ text: String, limits: JSONLimits = .message) -> JSONSyntaxError.Problem? {
    problem(Array(text.utf8), limits: limits)
  }

  private func problem(_ bytes: [UInt8], limits: JSONLimits = .message) -> JSONSyntaxError.Problem? {
    do {
      _ = try JSONValue(parsing: bytes, limits: limits)
      return nil
    } catch {
      return error.problem
    }
  }

  @Test(
    "reads what RFC 8259 allows",
    arguments: [
      ("null", nil), (" \t\r\n true ", true), ("false", false), ("0", 0), ("-0", 0), ("-17", -17),
      ("9007199254740991", 9_007_199_254_740_991), ("-9007199254740991", -9_007_199_254_740_991),
      ("1.5", .number(1.5)), ("-0.0", 0), ("1e2", 100), ("1E+2", 100), ("25e-1", .number(2.5)),
      ("1e300", .number(1e300)), ("5e-324", .number(.leastNonzeroMagnitude)), ("1e-400", 0), ("\"\"", ""),
      ("\"a b\"", "a b"),
      (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u00e9\u20AC""#, "é€"), (#""\uD83D\ude00""#, "😀"),
      ("\"é€😀\"", "é€😀"), ("\"\u{7F}\u{2028}\u{FFFF}\"", "\u{7F}\u{2028}\u{FFFF}"), ("[]", []), ("{}", [:]),
      ("[ 1 , [ ] , { } ]", [1, [], [:]]),
      (#"{"a":1,"b":[true,{"c":null}],"":""}"#, ["a": 1, "b": [true, ["c": nil]], "": ""]),
    ] as [(String, JSONValue)])
  func accepts(text: String, value: JSONValue) throws {
    #expect(try JSONValue(parsing: text) == value)
  }

  @Test(
    "refuses what RFC 8259 does not allow",
    arguments: [
      ("", .empty), (" \n", .empty), ("{", .unexpectedEnd), ("[", .unexpectedEnd), ("[1", .unexpectedEnd),
      ("[1,", .unexpectedEnd), ("{\"a\"", .unexpectedEnd), ("{\"a\":", .unexpectedEnd), ("{\"a\":1", .unexpectedEnd),
      ("\"", .unexpectedEnd), ("\"\\", .unexpectedEnd), ("\"\\u12", .unexpectedEnd), ("tru", .unexpectedEnd),
      ("-", .unexpectedEnd), ("1.", .unexpectedEnd), ("1e", .unexpectedEnd), ("1e+", .unexpectedEnd),
      ("]", .unexpectedByte), ("[1,]", .unexpectedByte), ("[,1]", .unexpectedByte), ("[1 2]", .unexpectedByte),
      ("{\"a\":1,}", .unexpectedByte), ("{,}", .unexpectedByte), ("{a:1}", .unexpectedByte), ("{1:1}", .unexpectedByte),
      ("{\"a\" 1}", .unexpectedByte), ("{'a':1}", .unexpectedByte), ("[1}", .unexpectedByte), ("True", .unexpectedByte),
      ("nul1", .unexpectedByte), ("NaN", .unexpectedByte), ("Infinity", .unexpectedByte), ("+1", .unexpectedByte),
      (".5", .unexpectedByte), ("\u{A0}1", .unexpectedByte), ("\u{B}1", .unexpectedByte), ("/**/1", .unexpectedByte),
      ("1 2", .trailingBytes), ("{}{}", .trailingBytes), ("1,", .trailingBytes), ("null\u{0}", .trailingBytes),
      ("1x", .trailingBytes), ("0x10", .trailingBytes), ("nulls", .trailingBytes),
      ("01", .invalidNumber), ("-01", .invalidNumber), ("00", .invalidNumber), ("-x", .invalidNumber),
      ("[1.]", .invalidNumber), ("[1.e1]", .invalidNumber), ("[1e]", .invalidNumber), ("-Infinity", .invalidNumber),
      ("\"\\x41\"", .invalidEscape), ("\"\\'\"", .invalidEscape), ("\"\\U0041\"", .invalidEscape),
      ("\"\\u00g0\"", .invalidEscape), ("\"\\u+123\"", .invalidEscape), ("\"\n\"", .controlCharacter),
      ("\"\u{0}\"", .controlCharacter), ("\"\u{1F}\"", .controlCharacter), ("{\"\t\":1}", .controlCharacter),
    ] as [(String, JSONSyntaxError.Problem)])
  func refuses(text: String, expected: JSONSyntaxError.Problem) {
    #expect(problem(text) == expected)
  }

  @Test(
    "refuses what I-JSON does not allow",
    arguments: [
      (#""\ud800""#, .loneSurrogate), (#""\udc00""#, .loneSurrogate), (#""\ud800\ud800""#, .loneSurrogate),
      (#""\ud800x""#, .loneSurrogate), (#""\ud800\n""#, .loneSurrogate), (#"{"\ude00":1}"#, .loneSurrogate),
      (#""\u0000""#, .nullCharacter), (#"{"a\u0000":1}"#, .nullCharacter),
      ("9007199254740992", .numberOutOfRange), ("-9007199254740992", .numberOutOfRange),
      ("10000000000000000", .numberOutOfRange), ("123456789012345678901234567890", .numberOutOfRange),
      ("9007199254740992.0", .numberOutOfRange), ("1e20", .numberOutOfRange), ("-9.1E15", .numberOutOfRange),
      ("1e309", .numberOutOfRange), ("-1e309", .numberOutOfRange), ("1e99999999999999999999", .numberOutOfRange),
      (#"{"a":1,"a":1}"#, .duplicateName), (#"{"a":1,"\u0061":2}"#, .duplicateName), (#"{"":1,"":2}"#, .duplicateName),
      (#"{"x":{"a":1,"b":2,"a":3}}"#, .duplicateName), ("{\"\u{E9}\":1,\"e\u{301}\":2}", .duplicateName),
      ("\u{FEFF}{}", .byteOrderMark),
    ] as [(String, JSONSyntaxError.Problem)])
  func refusesAmbiguity(text: String, expected: JSONSyntaxError.Problem) {
    #expect(problem(text) == expected)
  }

  @Test(
    "refuses bytes that are not UTF-8",
    arguments: [
      [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80],
      [0xED, 0xBF, 0xBF], [0xF0, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF],
      [0xC3], [0xE2, 0x82], [0xF0, 0x9F, 0x98], [0xC3, 0x28], [0xE2, 0x28, 0xA1], [0xF0, 0x9F, 0x28, 0x80],
    ] as [[UInt8]])
  func refusesInvalidUTF8(sequence: [UInt8]) {
    let quote = UInt8(ascii: "\"")
    #expect(problem([quote] + sequence + [quote]) == .invalidUTF8)
    #expect(problem([quote] + Array("é".utf8) + sequence + [quote]) == .invalidUTF8)
    #expect(problem(Array("{\"".utf8) + sequence + Array("\":1}".utf8)) == .invalidUTF8)
    #expect(problem([quote] + sequence) == .invalidUTF8)
  }

  @Test("takes a text up to its limits and no further")
  func limits() {
    let limits = JSONLimits(maximumBytes: 10, maximumDepth: 2, maximumNodes: 3)
    #expect(problem("[1,2     ]", limits: limits) == nil)
    #expect(problem("[1,2      ]", limits: limits) == .tooLarge)
    #expect(problem("[[]]", limits: limits) == nil)
    #expect(problem("[[[]]]", limits: limits) == .tooDeep)
    #expect(problem("[[{}]]", limits: limits) == .tooDeep)
    #expect(problem("[1,2,3]", limits: limits) == .tooManyValues)
    #expect(problem(String(repeating: "[", count: 64) + String(repeating: "]", count: 64)) == nil)
    #expect(problem(String(repeating: "[", count: 65) + String(repeating: "]", count: 65)) == .tooDeep)
  }

  @Test("refuses hostile texts quickly", .timeLimit(.minutes(1)))
  func hostile() {
    #expect(problem([UInt8](repeating: UInt8(ascii: "["), count: 100_000)) == .tooDeep)
    #expect(problem(String(repeating: "{\"a\":", count: 100_000)) == .tooDeep)
    #expect(problem("[" + String(repeating: "0,", count: 200_000) + "0]") == .tooManyValues)
    #expect(problem("1" + String(repeating: "0", count: 1_000_000)) == .numberOutOfRange)
    #expect(problem("0." + String(repeating: "1", count: 1_000_000)) == .numberOutOfRange)
    #expect(problem(String(repeating: " ", count: 1 << 20)) == .empty)
    let marks = String(repeating: "\u{301}\u{323}", count: 100_000)
    #expect(problem("{\"a\(marks)\":1,\"b\(marks)\":1}") == .tooManyCombiningMarks)
    #expect(problem("\"a" + String(repeating: "\\u0301\\u0323", count: 50_000) + "\"") == .tooManyCombiningMarks)
    #expect(problem("\"a" + String(repeating: "\u{301}", count: 128) + "\"") == nil)
  }

  @Test("says where the problem is and never quotes the text")
  func describes() {
    let error = #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: #"{"secret":1,"secret":2}"#) }
    #expect(error == JSONSyntaxError(.duplicateName, at: 12))
    #expect(error?.description == "expected each name of an object once (byte 12)")
  }

  @Test("yields a value again from its canonical form", arguments: 0..<20 as Range<UInt64>)
  func roundTrip(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<200 {
      let value = generator.json(depth: 4)
      let canonical = value.canonicalBytes
      let again = try JSONValue(parsing: canonical)
      #expect(again == value)
      #expect(again.canonicalBytes == canonical)
    }
  }

  @Test(
    "yields a value again from its canonical form, however its numbers are spelled", arguments: 0..<20 as Range<UInt64>)
  func roundTripOfSpellings(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<500 {
      let text =
        "\(Int.random(in: -99...99, using: &generator)).\(Int.random(in: 0...999, using: &generator))e"
        + "\(Int.random(in: -30...30, using: &generator))"
      guard let value = try? JSONValue(parsing: text) else { continue }
      #expect(try JSONValue(parsing: value.canonicalBytes) == value)
    }
  }

  private static let document = Array(
    #"{"a":[1,-0.5,1e3,true,null],"é\n":"x\ud83d\ude00€","o":{"":{},"b":[[]]},"t":"plain","n":9007199254740991}"#.utf8)

  /// Whatever the parser takes must have a canonical form that says the same.
  private func expectRefusedOrStable(_ bytes: [UInt8]) throws {
    guard let value = try? JSONValue(parsing: bytes) else { return }
    #expect(try JSONValue(parsing: value.canonicalBytes) == value)
  }

  @Test("refuses every truncation of a document")
  func truncations() {
    for end in 0..<Self.document.count { #expect(problem(Array(Self.document[..<end])) != nil) }
  }

  @Test("refuses each change of one byte or yields a value that stays the same")
  func mutations() throws {
    for index in Self.document.indices {
      var changed = Self.document
      for byte in UInt8.min...UInt8.max {
        changed[index] = byte
        try expectRefusedOrStable(changed)
      }
      changed = Self.document
      changed.remove(at: index)
      try expectRefusedOrStable(changed)
      changed = Self.document
      changed.insert(changed[index], at: index)
      try expectRefusedOrStable(changed)
    }
  }
}

@Suite("A JSON path")
struct JSONPathTests {
  private let root: JSONValue = ["a": ["b": [1, ["c d": "found", "é": true]]], "": 0]

  @Test(
    "leads to one value",
    arguments: [
      ("$.a.b[0]", 1), ("$.a.b[1]['c d']", "found"), ("$['a']['b'][1].é", true), ("$['']", 0),
    ] as [(String, JSONValue)])
  func finds(path: String, value: JSONValue) throws {
    #expect(try #require(JSONPath(path)).value(in: root) == value)
  }

  @Test("is the whole value when it has no steps")
  func whole() throws { #expect(try #require(JSONPath("$")).value(in: root) == root) }

  @Test("leads nowhere where the value has nothing", arguments: ["$.x", "$.a[0]", "$.a.b[2]", "$.a.b.c", "$[0]"])
  func misses(path: String) throws { #expect(try #require(JSONPath(path)).value(in: root) == nil) }

  @Test(
    "is refused unless it can name only one value",
    arguments: [
      "", "a", "$a", "$.", "$..a", "$.*", "$[*]", "$[-1]", "$[0:1]", "$[00]", "$[1234567]", "$[", "$[0", "$['a'",
      "$['a]",
      "$[\"a\"]", "$['a\\'b']", "$.a b", "$[?@.a]", "$.a ", " $.a", "$['a','b']",
    ])
  func refuses(path: String) { #expect(JSONPath(path) == nil) }

  @Test("has at most 32 steps")
  func steps() {
    #expect(JSONPath("$" + String(repeating: ".a", count: 32)) != nil)
    #expect(JSONPath("$" + String(repeating: ".a", count: 33)) == nil)
    #expect(JSONPath("$." + String(repeating: "a", count: 2000)) == nil)
  }
}
