import AgentProtocols
import CASACore
import SeededRandom
import Testing

@Suite("The canonical form of JSON")
struct CanonicalJSONTests {
  @Test(
    "writes numbers as RFC 8785 appendix B does",
    arguments: [
      (0x0000_0000_0000_0000, "0"), (0x8000_0000_0000_0000, "0"), (0x0000_0000_0000_0001, "5e-324"),
      (0x8000_0000_0000_0001, "-5e-324"), (0x7FEF_FFFF_FFFF_FFFF, "1.7976931348623157e+308"),
      (0xFFEF_FFFF_FFFF_FFFF, "-1.7976931348623157e+308"), (0x4340_0000_0000_0000, "9007199254740992"),
      (0xC340_0000_0000_0000, "-9007199254740992"), (0x4430_0000_0000_0000, "295147905179352830000"),
      (0x44B5_2D02_C7E1_4AF5, "9.999999999999997e+22"), (0x44B5_2D02_C7E1_4AF6, "1e+23"),
      (0x44B5_2D02_C7E1_4AF7, "1.0000000000000001e+23"), (0x444B_1AE4_D6E2_EF4E, "999999999999999700000"),
      (0x444B_1AE4_D6E2_EF4F, "999999999999999900000"), (0x444B_1AE4_D6E2_EF50, "1e+21"),
      (0x3EB0_C6F7_A0B5_ED8C, "9.999999999999997e-7"), (0x3EB0_C6F7_A0B5_ED8D, "0.000001"),
      (0x41B3_DE43_5555_5553, "333333333.3333332"), (0x41B3_DE43_5555_5554, "333333333.33333325"),
      (0x41B3_DE43_5555_5555, "333333333.3333333"), (0x41B3_DE43_5555_5556, "333333333.3333334"),
      (0x41B3_DE43_5555_5557, "333333333.33333343"), (0xBECB_F647_612F_3696, "-0.0000033333333333333333"),
      (0x4314_3FF3_C1CB_0959, "1424953923781206.2"),
    ] as [(UInt64, String)])
  func numbers(bits: UInt64, text: String) {
    #expect(JSONValue.number(Double(bitPattern: bits)).canonicalText == text)
  }

  @Test(
    "writes more numbers as ECMAScript does",
    arguments: [
      (100, "100"), (1e20, "100000000000000000000"), (1e-6, "0.000001"), (1e-7, "1e-7"), (1.5e-9, "1.5e-9"),
      (123.456, "123.456"), (0.1, "0.1"), (-1.25, "-1.25"), (4.5, "4.5"), (2e-3, "0.002"), (1e21, "1e+21"),
    ] as [(Double, String)])
  func moreNumbers(value: Double, text: String) { #expect(JSONValue.number(value).canonicalText == text) }

  @Test("writes null for a number that JSON does not have", arguments: [Double.nan, .infinity, -.infinity])
  func notFinite(value: Double) { #expect(JSONValue.number(value).canonicalText == "null") }

  @Test("writes the sample of RFC 8785 section 3.2.2")
  func sample() throws {
    let value = try JSONValue(
      parsing: """
        {
          "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
          "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
          "literals": [null, true, false]
        }
        """)
    #expect(
      value.canonicalText
        == #"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#
        + #""string":"€$\u000f\nA'B\"\\\\\"/"}"#)
  }

  @Test("sorts members as RFC 8785 section 3.2.3 does, by UTF-16 code units")
  func sorting() throws {
    let value = try JSONValue(
      parsing: #"""
        {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
         "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}
        """#)
    #expect(
      value.canonicalText
        == #"{"\r":"Carriage Return","1":"One","\#u{80}":"Control","ö":"Latin Small Letter O With Diaeresis","#
        + #""€":"Euro Sign","😀":"Emoji: Grinning Face","\#u{FB33}":"Hebrew Letter Dalet With Dagesh"}"#)
  }

  @Test("sorts any names by UTF-16 code units", arguments: 0..<50 as Range<UInt64>)
  func sortingOfAnyNames(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let names = Set((0..<40).map { _ in generator.text() })
    let sorted = names.sorted { $0.utf16.lexicographicallyPrecedes($1.utf16) }
    let object = JSONValue.object(Dictionary(uniqueKeysWithValues: names.map { ($0, .null) }))
    let expected = sorted.map { JSONValue.string($0).canonicalText + ":null" }.joined(separator: ",")
    #expect(object.canonicalBytes == Array("{\(expected)}".utf8))
  }

  @Test("escapes only what must be escaped")
  func escapes() {
    let text = "\u{1}\u{8}\t\n\u{B}\u{C}\r\u{1F}\"\\/\u{7F}\u{2028}é😀"
    #expect(
      JSONValue.string(text).canonicalText == #""\u0001\b\t\n\u000b\f\r\u001f\"\\/\#u{7F}\#u{2028}é😀""#)
  }

  @Test("is compact")
  func compact() {
    let value: JSONValue = ["b": [1, [], [:]], "a": ["": nil]]
    #expect(value.canonicalText == #"{"a":{"":null},"b":[1,[],{}]}"#)
  }
}
