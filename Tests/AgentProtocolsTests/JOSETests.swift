import AgentProtocols
import CASACore
import SeededRandom
import Testing

@Suite("Base64url and base64")
struct Base64Tests {
  @Test(
    "write and read the vectors of RFC 4648 section 10",
    arguments: [
      ("", "", ""), ("f", "Zg", "Zg=="), ("fo", "Zm8", "Zm8="), ("foo", "Zm9v", "Zm9v"), ("foob", "Zm9vYg", "Zm9vYg=="),
      ("fooba", "Zm9vYmE", "Zm9vYmE="), ("foobar", "Zm9vYmFy", "Zm9vYmFy"), ("~~>?", "fn4-Pw", "fn4+Pw=="),
      ("~~??", "fn4_Pw", "fn4/Pw=="),
    ])
  func vectors(text: String, url: String, standard: String) {
    #expect(Base64URL.encode(text.utf8) == url)
    #expect(Base64URL.decode(url) == Array(text.utf8))
    #expect(Base64URL.decode(url.utf8) == Array(text.utf8))
    #expect(Base64.decode(standard) == Array(text.utf8))
  }

  @Test(
    "base64url is refused unless it is the one text for its bytes",
    arguments: [
      "A", "AAAAA", "Zg==", "Zg=", "Zm8=", "Zh", "Zm9", "Z g", "Zg\n", " Zg", "Zm+v", "Zm/v", "Zm9v.", "Zm\u{E9}v",
      "Zm9v\u{0}",
    ])
  func refusesURL(text: String) { #expect(Base64URL.decode(text) == nil) }

  @Test(
    "base64 is refused unless it is the one text for its bytes",
    arguments: [
      "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9vZg==\n", "Zm-v", "Zm_v", "=Zg=", "Zm9v====", "Z=g=",
    ])
  func refusesStandard(text: String) { #expect(Base64.decode(text) == nil) }

  @Test("base64url gives back any bytes, and no other text does")
  func roundTrip() {
    var generator = SeededGenerator(seed: 1)
    for length in 0..<200 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let text = Base64URL.encode(bytes)
      #expect(Base64URL.decode(text) == bytes)
      for byte in UInt8.min...UInt8.max where length % 10 < 3 {
        let changed = Array(text.utf8.dropLast()) + [byte]
        if let decoded = Base64URL.decode(changed) { #expect(Array(Base64URL.encode(decoded).utf8) == changed) }
      }
    }
  }
}

@Suite("A compact JWS")
struct CompactJWSTests {
  /// RFC 7515 appendix A.3.
  private static let header = "eyJhbGciOiJFUzI1NiJ9"
  private static let payload =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
  private static let signature =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

  private func error(_ text: String, maximumBytes: Int = 8192) -> CompactJWSError? {
    do {
      _ = try CompactJWS(parsing: text, maximumBytes: maximumBytes)
      return nil
    } catch {
      return error
    }
  }

  private func part(_ json: String) -> String { Base64URL.encode(json.utf8) }

  @Test("is taken apart as in RFC 7515 appendix A.3")
  func sample() throws {
    let jws = try CompactJWS(parsing: "\(Self.header).\(Self.payload).\(Self.signature)")
    #expect(jws.header == ["alg": "ES256"])
    #expect(jws.payload == ["iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true])
    #expect(jws.signature.count == 64)
    #expect(jws.signature.prefix(4) == [14, 209, 33, 83])
    #expect(jws.signature.suffix(3) == [163, 84, 213])
    #expect(jws.signingInput == Array("\(Self.header).\(Self.payload)".utf8))
  }

  @Test(
    "is refused unless it is three parts of canonical base64url",
    arguments: [
      "", ".", "..", "a.b", "e30.e30", "e30.e30.", ".e30.AA", "e30..AA", "e30.e30.AA.", "e30.e30.AA.AA", "e30.e30.AA==",
      "e30.e30.AB", "e30.e30.A", " e30.e30.AA", "e30.e30.AA\n", "e3.e30.AA", "e30.e30=.AA", "e30.e30.+/+/",
    ])
  func malformed(text: String) { #expect(error(text) == .malformed) }

  @Test("is refused unless header and payload are strict JSON objects")
  func notObjects() {
    let empty = part("{}")
    #expect(error("\(part("[]")).\(empty).AA") == .notJSON(nil))
    #expect(error("\(empty).\(part("1")).AA") == .notJSON(nil))
    #expect(error("\(empty).\(part("{} x")).AA") == .notJSON(JSONSyntaxError(.trailingBytes, at: 3)))
    #expect(error("\(part(#"{"alg":1,"alg":2}"#)).\(empty).AA") == .notJSON(JSONSyntaxError(.duplicateName, at: 9)))
    #expect(error("\(empty).\(empty).AA") == nil)
    let deep = String(repeating: #"{"a":"#, count: 33) + "1" + String(repeating: "}", count: 33)
    #expect(error("\(empty).\(part(deep)).AA") == .notJSON(JSONSyntaxError(.tooDeep, at: 160)))
  }

  @Test(
    "is refused with crit or b64 in its header",
    arguments: [#""crit":["exp"]"#, #""crit":null"#, #""b64":false"#, #""b64":true"#])
  func unsupported(member: String) {
    #expect(error("\(part(#"{"alg":"ES256",\#(member)}"#)).\(part("{}")).AA") == .unsupportedHeader)
    #expect(error("\(part("{}")).\(part("{\(member)}")).AA") == nil)
  }

  @Test("is refused beyond its limit of bytes")
  func limit() {
    let text = "e30.e30.AAAA"
    #expect(error(text, maximumBytes: 12) == nil)
    #expect(error(text, maximumBytes: 11) == .tooLarge(maximumBytes: 11))
    #expect(error(String(repeating: ".", count: 8193)) == .tooLarge(maximumBytes: 8192))
  }

  @Test("is refused by errors that do not quote it")
  func descriptions() {
    let errors: [CompactJWSError] = [
      .tooLarge(maximumBytes: 8192), .malformed, .notJSON(nil), .notJSON(JSONSyntaxError(.empty, at: 0)),
      .unsupportedHeader,
    ]
    for error in errors { #expect(!error.description.isEmpty) }
    #expect(error("e30.\(part("[secret")).AA")?.description.contains("secret") == false)
  }

  @Test("is refused or taken apart whatever byte of it changes")
  func mutations() {
    let text = Array("\(Self.header).\(Self.payload).\(Self.signature)".utf8)
    for index in text.indices {
      for byte: UInt8 in [0, 0x20, 0x2D, 0x2E, 0x3D, 0x41, 0x5F, 0x7A, 0x7F] where byte != text[index] {
        var changed = text
        changed[index] = byte
        guard let jws = try? CompactJWS(parsing: String(decoding: changed, as: UTF8.self)) else { continue }
        let again = "\(String(decoding: jws.signingInput, as: UTF8.self)).\(Base64URL.encode(jws.signature))"
        #expect(Array(again.utf8) == changed)
      }
      #expect(error(String(decoding: text[..<index], as: UTF8.self)) != nil || index > text.count - 86)
    }
  }
}
