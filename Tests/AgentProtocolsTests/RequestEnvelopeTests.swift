import AgentProtocols
import CASACore
import SeededRandom
import Testing

@Suite("An intercepted request in an envelope")
struct RequestEnvelopeTests {
  private func refusal(_ bytes: [UInt8]) -> RefusalReason? {
    violation { () throws(ProtocolViolation) in _ = try RequestEnvelope(parsing: bytes) }?.reason
  }

  private func refusal(_ text: String) -> RefusalReason? { refusal(Array(text.utf8)) }

  @Test("is written as lengths, names and values, and read again")
  func roundTrip() throws {
    let fields = [
      RequestEnvelope.Field(":method", "POST"), .init("accept", ""), .init("accept", "a;1,1:b"),
      .init(name: Array("X-Odd".utf8), value: [0xFF, 0x80, 9]),
    ]
    let envelope = try RequestEnvelope(fields: fields, body: Array(";{}\0".utf8))
    #expect(envelope.bytes.starts(with: ":7,4".utf8.dropFirst()))
    #expect(
      envelope.bytes == Array("7,4::methodPOST6,0:accept6,7:accepta;1,1:b5,3:X-Odd".utf8) + [0xFF, 0x80, 9]
        + Array(";;{}\0".utf8))
    let read = try RequestEnvelope(parsing: envelope.bytes[...])
    #expect(read == envelope)
    #expect(read.fields == fields)
    #expect(try RequestEnvelope(parsing: Array(";".utf8)).fields.isEmpty)
  }

  @Test(
    "is refused in any other spelling",
    arguments: [
      "", "1,1:ab", "1,1:a", "1,1:", "1,1", "1", "01,1:ab;", "1,01:ab;", "+1,1:ab;", " 1,1:ab;", "1, 1:ab;", "-1,1:ab;",
      "1,-1:ab;", "1:1,ab;", "0,1:b;", "1,1:\nb;", "1,1:a\n;", "1,1:a\r;", "1,1:a\0;", "1,1: b;", "1,1::b;", "1,9:ab;",
      "99999999999999999999,1:ab;", "1,99999999999999999999:ab;", "100000,1:ab;", "x;", "2,1:\u{e9}a;", "1,1:ab,;",
    ])
  func spelling(text: String) { #expect(refusal(text) == .malformedRequest) }

  @Test("is refused beyond each of its limits, and taken at each")
  func limits() {
    let body = [UInt8](repeating: 1, count: RequestEnvelope.maximumBodyBytes)
    #expect(refusal(Array(";".utf8) + body) == nil)
    #expect(refusal(Array(";".utf8) + body + [1]) == .bodyTooLarge)
    func fields(_ count: Int) -> String { String(repeating: "1,1:ab", count: count) + ";" }
    #expect(refusal(fields(200)) == nil)
    #expect(refusal(fields(201)) == .bodyTooLarge)
    func name(_ count: Int) -> String { "\(count),0:" + String(repeating: "n", count: count) + ";" }
    #expect(refusal(name(256)) == nil)
    #expect(refusal(name(257)) == .bodyTooLarge)
    func head(_ count: Int) -> String { "1,\(count - 9):a" + String(repeating: "v", count: count - 9) + ";" }
    #expect(refusal(head(RequestEnvelope.maximumHeadBytes)) == nil)
    #expect(refusal(head(RequestEnvelope.maximumHeadBytes + 1)) == .bodyTooLarge)
    #expect(refusal(head(RequestEnvelope.maximumHeadBytes) + String(decoding: body, as: UTF8.self)) == nil)
  }

  @Test("is never made of what could not be read again")
  func making() throws {
    typealias Field = RequestEnvelope.Field
    func refused(_ fields: [Field], _ body: [UInt8] = []) -> Bool {
      violation { () throws(ProtocolViolation) in _ = try RequestEnvelope(fields: fields, body: body) } != nil
    }
    #expect(refused([Field("", "a")]))
    #expect(refused([Field("a b", "a")]))
    #expect(refused([Field("a", "b\r\nc: d")]))
    #expect(refused(Array(repeating: Field("a", "b"), count: 201)))
    #expect(refused([Field("a", String(repeating: "v", count: 65_528))]))
    #expect(!refused([Field("a", String(repeating: "v", count: 65_527))]))
    #expect(refused([], [UInt8](repeating: 0, count: RequestEnvelope.maximumBodyBytes + 1)))
  }

  @Test("reads each mutation as itself or not at all")
  func mutations() throws {
    var generator = SeededGenerator(seed: 7)
    let envelope = try RequestEnvelope(fields: [.init(":path", "/a"), .init("host", "b:1")], body: Array("{}".utf8))
    for _ in 0..<20_000 {
      var bytes = envelope.bytes
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let index = Int.random(in: bytes.indices, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.remove(at: index)
        default: bytes.insert(UInt8.random(in: 0x2C...0x3B, using: &generator), at: index)
        }
      }
      guard let read = try? RequestEnvelope(parsing: bytes) else { continue }
      #expect(read.bytes == bytes)
    }
  }
}
