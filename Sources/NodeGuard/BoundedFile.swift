import SystemPackage

/// Files that are read whole, up to a length.
enum BoundedFile {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// - Throws: `Failure` that names the file.
  static func read(_ path: String, maximumBytes: Int) throws(Failure) -> [UInt8] {
    do {
      let file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
      return try file.closeAfter {
        var bytes: [UInt8] = []
        while true {
          let chunk = try [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
            count = try file.read(into: UnsafeMutableRawBufferPointer(buffer))
          }
          if chunk.isEmpty { return bytes }
          bytes += chunk
          guard bytes.count <= maximumBytes else {
            throw Failure(description: "\(path) must be at most \(maximumBytes) bytes")
          }
        }
      }
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure(description: "\(path): \(error)")
    }
  }
}
