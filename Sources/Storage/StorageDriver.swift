/// A database that keeps what the runtime must not lose.
///
/// A unit is a list of statements that take effect together or not at all. `commit` returns only when the unit
/// is durable; many units committed at the same time share one sync of the disk.
public protocol StorageDriver: Sendable {
  /// - Throws: `StorageError`; then nothing of the unit took effect.
  func commit(_ unit: [Statement]) async throws(StorageError)
  /// - Throws: `StorageError.unavailable`.
  func query(_ statement: Statement) async throws(StorageError) -> [Row]
  /// Applies those of `migrations` that were not applied before, in order, each in one transaction.
  func migrate(_ migrations: [Migration]) async throws(StorageError)
  /// Waits for units under way and closes. Later calls throw `StorageError.unavailable`.
  func close() async
}
