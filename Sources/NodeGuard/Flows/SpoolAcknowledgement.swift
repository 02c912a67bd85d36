#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How far the spool is acknowledged. Two slots of one file are written in turn, so that one is whole at any moment;
/// they stay where they are, so that a full file system keeps nothing from being acknowledged.
struct SpoolAcknowledgement: Sendable {
  private(set) var place = SpoolPlace(segment: 0, offset: 0)
  private let file: SpoolFile
  private var next = 0

  private static let slotBytes = 64

  /// - Throws: `FlowSpoolError`
  init(directory: String) throws(FlowSpoolError) {
    file = try SpoolFile(path: directory + "/acknowledged")
    try file.restrict(to: 0o600)
    // What can't be read was never acknowledged: reports come twice rather than never.
    for slot in 0..<2 {
      let bytes = try file.read(from: slot * Self.slotBytes, count: Self.slotBytes)
      guard let read = Self.place(bytes), read > place else { continue }
      place = read
      next = 1 - slot
    }
  }

  /// - Throws: `FlowSpoolError`; then it stays where it is.
  mutating func move(to place: SpoolPlace, by write: SpoolFile.Write) throws(FlowSpoolError) {
    try file.write(Self.slot(place), at: next * Self.slotBytes, by: write)
    self.place = place
    next = 1 - next
  }

  private static func slot(_ place: SpoolPlace) -> [UInt8] {
    let content = "A \(hexadecimal(place.segment)) \(hexadecimal(UInt64(place.offset)))"
    let text = SpoolLine.digest(Array(content.utf8)) + " " + content
    return Array((text + String(repeating: " ", count: slotBytes - 1 - text.utf8.count) + "\n").utf8)
  }

  private static func place(_ bytes: [UInt8]) -> SpoolPlace? {
    let fields = bytes.split(whereSeparator: { $0 == 0x20 || $0 == 0x0A }).map { String(decoding: $0, as: UTF8.self) }
    guard fields.count == 4, let segment = UInt64(fields[2], radix: 16), let offset = Int(fields[3], radix: 16) else {
      return nil
    }
    let place = SpoolPlace(segment: segment, offset: offset)
    return offset >= 0 && segment <= SpoolPlace.lastSegment && slot(place) == bytes ? place : nil
  }
}
