/// What PostgreSQL says went wrong: five characters, of which the first two name the class (PostgreSQL manual,
/// appendix A).
struct SQLState: Hashable {
  let code: String

  init(_ code: String) { self.code = code }

  static let diskFull = SQLState("53100")
  static let lockNotAvailable = SQLState("55P03")
  static let readOnly = SQLState("25006")
  static let duplicateTable = SQLState("42P07")
  private static let canceled = SQLState("57014")

  private func isOf(_ classes: String...) -> Bool { classes.contains { code.hasPrefix($0) } }

  /// A uniqueness, reference or other integrity constraint refused it.
  var isConflict: Bool { isOf("23") }

  /// The statement itself can't be carried out, now or later; others can.
  var isOfStatement: Bool { isOf("21", "22", "42", "54", "0A") }

  /// A value is beyond what the server stores, in itself or in an index.
  private var isOfValue: Bool { isOf("22", "54") }

  /// The same transaction may succeed when it is tried again at once.
  var isTransient: Bool { isOf("40") }

  /// Prepared statements have to be prepared anew: a table changed, or the server lost them.
  var isOfPreparation: Bool { ["0A000", "26000"].contains(code) }

  /// The server ends the connection, or is none that can be written to any longer.
  var endsConnection: Bool { isOf("08", "57P") || self == .readOnly }

  /// What an administrator reads. Never the server's own text: it may quote an argument, and so a prompt.
  var error: StorageError {
    if isConflict { return .conflict }
    if isOfValue { return .unstorable }
    let meaning =
      switch self {
      case .diskFull: "its disk is full"
      case .lockNotAvailable: "a lock was not free in time"
      case .readOnly: "it takes no writes: it is a standby, or set to read only"
      case .canceled: "it took too long"
      default:
        if endsConnection {
          "it is shutting down or starting"
        } else if isTransient {
          "it could not order what was written at once"
        } else if isOfStatement {
          "a statement can't be carried out"
        } else {
          "see PostgreSQL's log"
        }
      }
    return .unavailable("PostgreSQL answered SQLSTATE \(code): \(meaning)")
  }
}
