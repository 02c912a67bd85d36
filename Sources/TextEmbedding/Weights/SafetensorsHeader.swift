import AgentProtocols
import CASACore

/// What a safetensors file says of itself: eight bytes with the length of a JSON object, which gives each tensor's
/// type, shape and place in the data behind it.
///
/// As the format demands, the tensors cover the data without a gap or an overlap, so that no byte has two meanings and
/// none is hidden.
struct SafetensorsHeader: Sendable, Hashable {
  struct Entry: Sendable, Hashable {
    let elementType: TensorElement
    let shape: [Int]
    /// From the beginning of the file.
    let bytes: Range<Int>
  }

  let entries: [String: Entry]

  /// More than the headers of the largest models have.
  private static let limits = JSONLimits(maximumBytes: 8 << 20, maximumDepth: 3, maximumNodes: 1_000_000)

  /// - Parameter path: named by errors
  init(parsing file: UnsafeRawBufferPointer, path: String) throws(ModelError) {
    func malformed(_ expected: String, _ found: String) -> ModelError {
      .malformed(file: path, expected: expected, found: found)
    }
    guard file.count >= 8 else { throw malformed("at least 8 bytes", "\(file.count)") }
    let stated = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
    guard stated <= Self.limits.maximumBytes else {
      throw malformed("a header of at most \(Self.limits.maximumBytes) bytes", "one of \(stated)")
    }
    let start = 8 + Int(stated)
    guard start <= file.count else {
      throw malformed("a header of \(stated) bytes", "only \(file.count - 8) bytes")
    }
    let json: JSONValue
    do {
      json = try JSONValue(parsing: Array(file[8..<start]), limits: Self.limits)
    } catch {
      throw malformed("a header in JSON", "\(error)")
    }
    guard let members = json.object else { throw malformed("a header that is an object", "another JSON value") }

    let available = file.count - start
    var entries: [String: Entry] = [:]
    for (name, value) in members where name != "__metadata__" {
      guard let type = value["dtype"]?.string, let elementType = TensorElement(rawValue: type) else {
        throw malformed("a type of safetensors for `\(name)`", value["dtype"]?.string ?? "none")
      }
      guard let sizes = value["shape"]?.array, let offsets = value["data_offsets"]?.array,
        let shape = Self.sizes(sizes), let ends = Self.sizes(offsets), ends.count == 2
      else { throw malformed("a shape and two data_offsets of whole numbers for `\(name)`", "something else") }
      guard ends[0] <= ends[1], ends[1] <= available else {
        throw malformed("data_offsets of `\(name)` within \(available) bytes", "\(ends[0]) to \(ends[1])")
      }
      guard let size = Self.size(shape, of: elementType), size == ends[1] - ends[0] else {
        throw malformed("as many bytes for `\(name)` as its shape and type need", "\(ends[1] - ends[0])")
      }
      entries[name] = Entry(elementType: elementType, shape: shape, bytes: start + ends[0]..<start + ends[1])
    }

    var end = start
    for entry in entries.values.sorted(by: {
      ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound)
    }) {
      guard entry.bytes.lowerBound == end else {
        throw malformed("a tensor that begins at byte \(end)", "one that begins at byte \(entry.bytes.lowerBound)")
      }
      end = entry.bytes.upperBound
    }
    guard end == file.count else { throw malformed("tensors up to the last byte", "\(file.count - end) bytes more") }
    self.entries = entries
  }

  private static func sizes(_ values: [JSONValue]) -> [Int]? {
    var sizes: [Int] = []
    for value in values {
      guard let size = value.integer, size >= 0 else { return nil }
      sizes.append(Int(size))
    }
    return sizes
  }

  /// In bytes; nil when there are more than a file can have.
  private static func size(_ shape: [Int], of elementType: TensorElement) -> Int? {
    var size = elementType.size
    for dimension in shape {
      let (product, overflow) = size.multipliedReportingOverflow(by: dimension)
      if overflow { return nil }
      size = product
    }
    return size
  }
}
