import CLibPQ

/// Where a PostgreSQL server is, and how it is talked to.
struct PostgresParameters: Sendable {
  /// How long the server and the one who waits for it give each other.
  struct Limits: Sendable {
    /// How long a connection may take to be made.
    var connect = Duration.seconds(2)
    /// How long the server works on a statement; nil for as long as it takes.
    var statement: Duration? = .seconds(4)
    /// How long the server waits for a lock.
    var lock = Duration.seconds(2)
    /// How long answers are waited for; beyond it the connection is given up.
    var answer = Duration.seconds(5)
  }

  private let url: String
  let limits: Limits

  /// - Parameter url: a `postgres://` URL, or libpq's `keyword=value` words.
  /// - Throws: `StorageError.unavailable` when libpq can't read it; the text is not quoted, as it may hold a password.
  init(url: String, limits: Limits = Limits()) throws(StorageError) {
    guard let options = PQconninfoParse(url, nil) else {
      throw .unavailable(
        "the database's URL can't be read; it must be postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=verify-full")
    }
    PQconninfoFree(options)
    self.url = url
    self.limits = limits
  }

  init(_ other: PostgresParameters, limits: Limits) {
    url = other.url
    self.limits = limits
  }

  /// libpq's keywords and values: of the same keyword the last counts, and those in the URL count where it stands.
  var keywords: [(keyword: String, value: String)] {
    [
      ("fallback_application_name", "casa"), ("connect_timeout", "2"), ("keepalives", "1"), ("keepalives_idle", "5"),
      ("keepalives_interval", "2"), ("keepalives_count", "3"), ("tcp_user_timeout", "5000"),
      // Of several hosts the one that takes writes: what was written is read from the same.
      ("target_session_attrs", "read-write"), ("dbname", url), ("client_encoding", "UTF8"),
    ]
  }

  /// What a new connection sets. A server that the client left in the middle of a transaction undoes it soon, and so
  /// doesn't keep others from committing.
  var settings: String {
    """
    SET statement_timeout = \(limits.statement.map(Self.milliseconds) ?? 0);
    SET lock_timeout = \(Self.milliseconds(limits.lock));
    SET idle_in_transaction_session_timeout = 5000;
    SET bytea_output = 'hex';
    SET standard_conforming_strings = on;
    SELECT set_config('synchronous_commit', 'on', false)
      WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
    SELECT current_setting('fsync')
    """
  }

  private static func milliseconds(_ duration: Duration) -> Int64 {
    duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
  }
}
