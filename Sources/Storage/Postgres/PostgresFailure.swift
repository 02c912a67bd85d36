/// Why a connection gave no answer, or not the one asked for.
enum PostgresFailure: Error {
  /// The connection is gone, or answered too late and was given up.
  case lost(String)
  /// The server refused, and the connection goes on.
  case refused(SQLState)
  /// The server answered with something that can't be read.
  case unreadable(String)

  var storageError: StorageError {
    switch self {
    case .lost(let why): .unavailable("the connection to PostgreSQL was lost: \(why)")
    case .refused(let state): state.error
    case .unreadable(let what): .corrupt(what)
    }
  }
}
