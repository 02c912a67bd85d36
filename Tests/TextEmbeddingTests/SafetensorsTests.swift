import Testing

@testable import TextEmbedding

@Suite struct SafetensorsTests {
  private func file(_ header: String, data count: Int = 0) -> [UInt8] {
    let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init)
    return length + header.utf8 + [UInt8](repeating: 0, count: count)
  }

  private func read(_ bytes: [UInt8]) throws(ModelError) -> SafetensorsHeader {
    do {
      return try bytes.withUnsafeBytes { try SafetensorsHeader(parsing: $0, path: "f") }
    } catch let error as ModelError {
      throw error
    } catch {
      fatalError("\(error)")
    }
  }

  @Test func findsEachTensor() throws {
    let header = """
      {"__metadata__": {"format": "pt"}, "b": {"dtype": "F16", "shape": [2, 3], "data_offsets": [4, 16]},
       "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}, "c": {"dtype": "I64", "shape": [0], "data_offsets": [4, 4]}}
      """
    let start = 8 + header.utf8.count
    let entries = try read(file(header, data: 16)).entries
    #expect(entries.keys.sorted() == ["a", "b", "c"])
    #expect(entries["a"] == .init(elementType: .float32, shape: [], bytes: start..<start + 4))
    #expect(entries["b"] == .init(elementType: .float16, shape: [2, 3], bytes: start + 4..<start + 16))
  }

  @Test(arguments: [
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5,
      "expected tensors up to the last byte, found 1 bytes more"
    ),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3, "within 3 bytes, found 0 to 4"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "as its shape and type need, found 4"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4, "within 4 bytes, found 4 to 0"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}"#, 4, "of whole numbers for `a`"),
    (#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#, 4, "of whole numbers for `a`"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, 4, "of whole numbers for `a`"),
    (
      #"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, 4, "expected a type of safetensors for `a`, found F33"
    ),
    (#"{"a":{"shape":[1],"data_offsets":[0,4]}}"#, 4, "expected a type of safetensors for `a`, found none"),
    (
      #"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}"#, 4,
      "as its shape and type need"
    ),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "expected a tensor that begins at byte"),
    (
      #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#, 6,
      "expected a tensor that begins at byte"
    ),
    (
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1,
      "expected each name of an object once"
    ),
    ("[]", 0, "expected a header that is an object"), ("", 0, "expected a header in JSON"),
    ("{", 0, "expected a header in JSON"), (#"{"a":[[[[[[]]]]]]}"#, 0, "nest deeper than allowed"),
  ])
  func refusesAHeaderThatContradictsTheData(header: String, count: Int, says: String) {
    #expect {
      try read(file(header, data: count))
    } throws: { error in
      guard case ModelError.malformed(file: "f", _, _) = error else { return false }
      return "\(error)".contains(says)
    }
  }

  @Test func refusesAFileThatIsTooShortForItsHeader() {
    #expect(throws: ModelError.malformed(file: "f", expected: "at least 8 bytes", found: "7")) {
      try read([UInt8](repeating: 0, count: 7))
    }
    #expect(throws: ModelError.malformed(file: "f", expected: "a header of 9 bytes", found: "only 2 bytes")) {
      try read([9, 0, 0, 0, 0, 0, 0, 0, 0x7B, 0x7D])
    }
    #expect(
      throws: ModelError.malformed(
        file: "f", expected: "a header of at most 8388608 bytes", found: "one of 18446744073709551615")
    ) {
      try read([UInt8](repeating: 0xFF, count: 16))
    }
  }

  @Test func readsEveryHalfPrecisionNumber() {
    for bits in UInt16.min...UInt16.max {
      #if arch(arm64) || os(Linux)
        let expected = Float(Float16(bitPattern: bits))
        let value = Float(halfPrecision: bits)
        #expect(value == expected || (value.isNaN && expected.isNaN))
        #expect(value.sign == expected.sign)
      #endif
    }
  }
}
