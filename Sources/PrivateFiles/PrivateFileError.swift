/// A private file or its folder can't be made or written.
public struct PrivateFileError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Which path, and why; never what was to be written.
  public let description: String

  init(_ description: String) { self.description = description }
}
