/// A statement's arguments as libpq takes them: integers and text as text, of whatever type the statement needs, and
/// blobs as they are.
struct PostgresArguments {
  private var bytes: [UInt8] = []
  /// Where each begins in `bytes`; nil for null.
  private var offsets: [Int?] = []
  private var lengths: [Int32] = []
  private var formats: [Int32] = []

  /// - Parameter arguments: no text among them has the character NUL, nor any 2 GiB.
  init(_ arguments: [SQLValue]) {
    for argument in arguments {
      offsets.append(bytes.count)
      switch argument {
      case .null: offsets[offsets.count - 1] = nil
      case .integer(let integer): bytes.append(contentsOf: String(integer).utf8)
      case .text(let text): bytes.append(contentsOf: text.utf8)
      case .blob(let blob): bytes.append(contentsOf: blob)
      }
      lengths.append(Int32(clamping: bytes.count - (offsets.last.flatMap { $0 } ?? bytes.count)))
      if case .blob = argument { formats.append(1) } else { formats.append(0) }
      bytes.append(0)
    }
  }

  /// Calls one of libpq's functions with the number of arguments, their values, lengths and formats.
  /// - Returns: whether it answered 1.
  func send(
    _ call: (
      Int32, UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<Int32>, UnsafePointer<Int32>
    ) -> Int32
  ) -> Bool {
    bytes.withUnsafeBytes { bytes in
      let values = offsets.map { offset in
        offset.flatMap { bytes.baseAddress?.advanced(by: $0).assumingMemoryBound(to: CChar.self) }
      }
      return call(Int32(values.count), values, lengths, formats) == 1
    }
  }
}
