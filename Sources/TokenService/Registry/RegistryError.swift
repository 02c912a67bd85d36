public import CASACore
public import Storage

/// Why an administrative request was not carried out.
public enum RegistryError: Error, Sendable, CustomStringConvertible {
  /// Nothing of this kind has this id.
  case notFound(String)
  /// What is asked contradicts what is stored.
  case conflict(String)
  case invalid(InvalidField)
  case storage(StorageError)

  public var description: String {
    switch self {
    case .notFound(let what): "\(what) does not exist"
    case .conflict(let why): why
    case .invalid(let field): field.description
    case .storage(let error): error.description
    }
  }
}
