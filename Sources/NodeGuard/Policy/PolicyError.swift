/// A policy's file is not as it must be.
public struct PolicyError: Error, Sendable, Hashable, CustomStringConvertible {
  /// In the file, from 1; nil when that is not known.
  public private(set) var line: Int?
  /// Where the value stands, such as `workloads[0].outbound[2].ports`; empty for the whole file.
  public private(set) var path = ""
  /// What was expected and what came.
  public let problem: String

  public init(_ problem: String, line: Int? = nil) {
    self.problem = problem
    self.line = line
  }

  /// The same error, of a value that is the member `name` of another.
  func within(_ name: String, line: Int?) -> PolicyError {
    var error = self
    error.path = path.isEmpty ? name : path.hasPrefix("[") ? name + path : "\(name).\(path)"
    error.line = self.line ?? line
    return error
  }

  public var description: String {
    let places = [line.map { "line \($0)" }, path.isEmpty ? nil : path].compactMap { $0 }
    return places.isEmpty ? problem : places.joined(separator: ", ") + ": " + problem
  }
}
