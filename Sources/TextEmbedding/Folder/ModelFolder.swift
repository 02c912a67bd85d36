import AgentProtocols
import CASACore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A folder with a model as Hugging Face's libraries write it.
struct ModelFolder: Sendable {
  let path: String

  /// The folder's own name.
  var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  private static let limits = JSONLimits(maximumBytes: 64 << 20, maximumDepth: 32, maximumNodes: 5_000_000)

  func path(_ file: String) -> String { path + "/" + file }

  func contains(_ file: String) -> Bool { access(path(file), F_OK) == 0 }

  func bytes(_ file: String) throws(ModelError) -> [UInt8] {
    let mapped = try MappedFile(path: path(file))
    guard mapped.bytes.count <= Self.limits.maximumBytes else {
      throw .malformed(
        file: path(file), expected: "at most \(Self.limits.maximumBytes) bytes", found: "\(mapped.bytes.count)")
    }
    return Array(mapped.bytes)
  }

  func json(_ file: String) throws(ModelError) -> JSONFile {
    let bytes = try bytes(file)
    do {
      return JSONFile(path: path(file), value: try JSONValue(parsing: bytes, limits: Self.limits))
    } catch {
      throw .malformed(file: path(file), expected: "JSON", found: "\(error)")
    }
  }

  /// The file, or nil when there is none.
  func jsonIfPresent(_ file: String) throws(ModelError) -> JSONFile? { contains(file) ? try json(file) : nil }
}

/// A file of settings, which knows its path for the sake of errors.
struct JSONFile: Sendable {
  let path: String
  let value: JSONValue

  func malformed(_ expected: String, _ found: String) -> ModelError {
    .malformed(file: path, expected: expected, found: found)
  }

  func unsupported(_ expected: String, _ found: String) -> ModelError {
    .unsupported(file: path, expected: expected, found: found)
  }

  /// A whole number within `range`; `absent` when the file has none of that name or null.
  func integer(_ name: String, in range: ClosedRange<Int>, absent: Int? = nil) throws(ModelError) -> Int {
    switch value[name] {
    case nil, .null?:
      guard let absent else { throw malformed("`\(name)`", "none") }
      return absent
    case let member?:
      guard let number = member.integer, range.contains(Int(number)) else {
        throw malformed("a whole number from \(range.lowerBound) to \(range.upperBound) as `\(name)`", "another value")
      }
      return Int(number)
    }
  }

  /// nil when the file has none of that name or null.
  func bool(_ name: String) throws(ModelError) -> Bool? {
    switch value[name] {
    case nil, .null?: return nil
    case .bool(let value)?: return value
    default: throw malformed("true or false as `\(name)`", "another value")
    }
  }

  /// nil when the file has none of that name or null.
  func string(_ name: String) throws(ModelError) -> String? {
    switch value[name] {
    case nil, .null?: return nil
    case .string(let value)?: return value
    default: throw malformed("a text as `\(name)`", "another value")
    }
  }
}
