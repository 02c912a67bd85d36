import AgentProtocols
import CASACore
import Storage

extension MAS {
  init(row: Row) throws(StorageError) {
    guard let name = Name(try row.text("name")),
      let settings = try? MAS.Settings(json: JSONValue(parsing: try row.text("configuration")))
    else { throw .corrupt("a MAS can't be read") }
    self.init(
      id: MASID(try row.text("id")), name: name, createdAt: Timestamp(milliseconds: try row.integer("created_at")),
      owner: try row.optionalText("owner").flatMap { ExternalOwner($0) }, settings: settings)
  }
}

extension App {
  init(row: Row) throws(StorageError) {
    guard let name = Name(try row.text("name")), let kind = AppKind(rawValue: try row.text("kind")),
      let settings = try? App.Settings(json: JSONValue(parsing: try row.text("configuration")))
    else { throw .corrupt("an app can't be read") }
    var secret: HashedSecret?
    if let salt = try row.optionalText("secret_salt"), let hash = try row.optionalText("secret_hash") {
      secret = HashedSecret(salt: salt, hash: hash)
    }
    var jwks: JSONValue?
    if let text = try row.optionalText("jwks") {
      guard let keys = try? JSONValue(parsing: text) else { throw .corrupt("an app's keys can't be read") }
      jwks = keys
    }
    self.init(
      id: AppID(try row.text("id")), masID: MASID(try row.text("mas_id")), name: name, kind: kind,
      createdAt: Timestamp(milliseconds: try row.integer("created_at")), settings: settings, secret: secret, jwks: jwks)
  }
}

extension Node {
  init(row: Row) throws(StorageError) {
    guard let name = NodeName(try row.text("name")) else { throw .corrupt("a node can't be read") }
    self.init(
      id: NodeID(try row.text("id")), name: name, createdAt: Timestamp(milliseconds: try row.integer("created_at")),
      secret: HashedSecret(salt: try row.text("secret_salt"), hash: try row.text("secret_hash")))
  }
}

extension Reader {
  init(row: Row) throws(StorageError) {
    let id = ReaderID(try row.text("id"))
    let created = Timestamp(milliseconds: try row.integer("created_at"))
    let secret = HashedSecret(salt: try row.text("secret_salt"), hash: try row.text("secret_hash"))
    guard let name = Name(try row.text("name")),
      let json = try? JSONValue(parsing: Array(try row.text("configuration").utf8)),
      let reader = try? Reader(id: id, name: name, createdAt: created, json: json, secret: secret)
    else { throw .corrupt("a reader can't be read") }
    self = reader
  }
}

extension RegisteredTool {
  init(row: Row) throws(StorageError) {
    guard let name = ToolName(try row.text("name")),
      let definition = try? JSONValue(parsing: try row.text("definition"))
    else { throw .corrupt("a tool can't be read") }
    let pinned = try row.optionalText("pinned_definition").flatMap { try? JSONValue(parsing: $0) }
    self.init(
      app: AppID(try row.text("app_id")), name: name, definition: definition, pinnedDefinition: pinned,
      pinnedSHA256: try row.optionalText("pinned_sha256"), seenSHA256: try row.optionalText("seen_sha256"),
      checkedAt: Timestamp(milliseconds: try row.integer("checked_at")))
  }

  var upsert: Statement {
    Statement(
      """
      INSERT INTO tools (app_id, name, definition, pinned_sha256, seen_sha256, checked_at, pinned_definition)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      ON CONFLICT (app_id, name) DO UPDATE SET definition = excluded.definition,
        pinned_definition = excluded.pinned_definition, pinned_sha256 = excluded.pinned_sha256, seen_sha256 = excluded.seen_sha256, checked_at = excluded.checked_at
      """,
      [
        .text(app.rawValue), .text(name.text), .text(definition.canonicalText), .optional(pinnedSHA256),
        .optional(seenSHA256), .integer(checkedAt.milliseconds), .optional(pinnedDefinition?.canonicalText),
      ], expectedChanges: 1)
  }

  /// For the trace: what changed, without the definition's text.
  var summary: JSONValue {
    [
      "name": .string(name.text), "status": .string(status),
      "seen_sha256": seenSHA256.map(JSONValue.string) ?? .null,
    ]
  }
}
