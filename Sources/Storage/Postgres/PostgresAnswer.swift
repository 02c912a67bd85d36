import CLibPQ

/// What the server answered to one statement.
struct PostgresAnswer {
  /// How many rows the statement changed; 0 for one that changes none.
  let changes: Int
  /// What the server did, such as `COMMIT`.
  let tag: String
  let rows: [Row]

  /// - Parameter result: one that is complete and no error.
  init(reading result: OpaquePointer) throws(PostgresFailure) {
    changes = PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0
    tag = PQcmdStatus(result).map { String(cString: $0) } ?? ""
    let names = 0..<PQnfields(result)
    guard !names.isEmpty else {
      rows = []
      return
    }
    var columns: [String: Int] = [:]
    for column in names {
      guard let name = PQfname(result, column) else { continue }
      let text = String(cString: name)
      if columns[text] == nil { columns[text] = Int(column) }
    }
    let types = names.map { PQftype(result, $0) }
    var rows: [Row] = []
    rows.reserveCapacity(Int(PQntuples(result)))
    for row in 0..<PQntuples(result) {
      var values: [SQLValue] = []
      values.reserveCapacity(types.count)
      for column in names {
        guard PQgetisnull(result, row, column) == 0, let start = PQgetvalue(result, row, column) else {
          values.append(.null)
          continue
        }
        let bytes = UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(result, row, column)))
        values.append(try Self.value(bytes, type: types[Int(column)]))
      }
      rows.append(Row(columns: columns, values: values))
    }
    self.rows = rows
  }

  /// Reads a value in PostgreSQL's text format by its type's number (PostgreSQL's `pg_type.dat`).
  private static func value(_ bytes: UnsafeRawBufferPointer, type: Oid) throws(PostgresFailure) -> SQLValue {
    switch type {
    case 16: return .integer(bytes.first == UInt8(ascii: "t") ? 1 : 0)
    // int8, int2, int4, oid
    case 20, 21, 23, 26:
      guard let integer = Int64(String(decoding: bytes, as: UTF8.self)) else {
        throw .unreadable("an integer can't be read")
      }
      return .integer(integer)
    // numeric, as sums are
    case 1700:
      let text = String(decoding: bytes, as: UTF8.self)
      guard let integer = Int64(text) ?? Double(text).flatMap({ Int64(exactly: $0.rounded(.towardZero)) }) else {
        throw .unreadable("a number is beyond 64 bits")
      }
      return .integer(integer)
    case 17: return .blob(try hexadecimal(bytes))
    default: return .text(String(decoding: bytes, as: UTF8.self))
    }
  }

  /// `\x` and two digits for each byte.
  private static func hexadecimal(_ text: UnsafeRawBufferPointer) throws(PostgresFailure) -> [UInt8] {
    func digit(_ byte: UInt8) -> UInt8? {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
      default: nil
      }
    }
    guard text.count >= 2, text.count % 2 == 0, text[0] == UInt8(ascii: "\\"), text[1] == UInt8(ascii: "x") else {
      throw .unreadable("a blob can't be read")
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 2 - 1)
    for index in stride(from: 2, to: text.count, by: 2) {
      guard let high = digit(text[index]), let low = digit(text[index + 1]) else {
        throw .unreadable("a blob can't be read")
      }
      bytes.append(high << 4 | low)
    }
    return bytes
  }
}
