import SystemPackage

/// A file that says how to reach the API server, read whole up to a length.
enum AccessFile {
  static let maximumBytes = 1 << 20

  /// - Throws: `ClusterAccessError` that names the file.
  static func read(_ path: String) throws(ClusterAccessError) -> [UInt8] {
    do {
      let file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
      return try file.closeAfter {
        var bytes: [UInt8] = []
        while true {
          let part = try [UInt8](unsafeUninitializedCapacity: 1 << 14) { buffer, count in
            count = try file.read(into: UnsafeMutableRawBufferPointer(buffer))
          }
          if part.isEmpty { return bytes }
          bytes += part
          guard bytes.count <= maximumBytes else {
            throw ClusterAccessError("\(path) must be at most \(maximumBytes) bytes")
          }
        }
      }
    } catch let error as ClusterAccessError {
      throw error
    } catch {
      throw ClusterAccessError("\(path) can't be read: \(error)")
    }
  }

  /// The one line that a file is, without spaces around it.
  static func readLine(_ path: String) throws(ClusterAccessError) -> String {
    let bytes = try read(path)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw ClusterAccessError("\(path) must be UTF-8 text")
    }
    let line = String(text.unicodeScalars.trimmed { $0.properties.isWhitespace })
    guard !line.isEmpty, line.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw ClusterAccessError("\(path) must hold one line of printable characters without spaces")
    }
    return line
  }
}

extension String.UnicodeScalarView {
  fileprivate func trimmed(_ isTrimmed: (Unicode.Scalar) -> Bool) -> Substring.UnicodeScalarView {
    var rest = self[...]
    while let first = rest.first, isTrimmed(first) { rest.removeFirst() }
    while let last = rest.last, isTrimmed(last) { rest.removeLast() }
    return rest
  }
}
