/// The schema, as the list of named changes that make it. Portable between SQLite and PostgreSQL, but
/// where a change says otherwise.
public enum Schema {
  public static let migrations: [Migration] = [
    Migration(
      "2026-11-foundation",
      [
        """
        CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)
        """,
        """
        CREATE TABLE signing_keys (
          kid TEXT PRIMARY KEY, algorithm TEXT NOT NULL, private_key TEXT NOT NULL,
          created_at BIGINT NOT NULL, retired_at BIGINT)
        """,
        """
        CREATE TABLE mas (
          id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, configuration TEXT NOT NULL,
          created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL)
        """,
        """
        CREATE TABLE apps (
          id TEXT PRIMARY KEY, mas_id TEXT NOT NULL REFERENCES mas(id), name TEXT NOT NULL, kind TEXT NOT NULL,
          configuration TEXT NOT NULL, secret_salt TEXT, secret_hash TEXT, jwks TEXT,
          created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, UNIQUE (mas_id, name))
        """,
        """
        CREATE TABLE tools (
          app_id TEXT NOT NULL REFERENCES apps(id), name TEXT NOT NULL, definition TEXT NOT NULL,
          pinned_sha256 TEXT, seen_sha256 TEXT, checked_at BIGINT NOT NULL, PRIMARY KEY (app_id, name))
        """,
        """
        CREATE TABLE user_inputs (
          id TEXT PRIMARY KEY, mas_id TEXT NOT NULL, app_id TEXT NOT NULL, trace_id TEXT NOT NULL,
          text TEXT NOT NULL, sha256 TEXT NOT NULL, created_at BIGINT NOT NULL, UNIQUE (mas_id, trace_id))
        """,
        """
        CREATE TABLE tokens (
          jti TEXT PRIMARY KEY, sha256 TEXT NOT NULL, parent_jti TEXT, mas_id TEXT NOT NULL, user_input_id TEXT,
          client_id TEXT NOT NULL, scope TEXT NOT NULL, issued_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
          revoked_at BIGINT)
        """,
        "CREATE INDEX tokens_by_parent ON tokens (parent_jti)",
        "CREATE INDEX tokens_by_expiry ON tokens (expires_at)",
        """
        CREATE TABLE spent_tokens (jti TEXT PRIMARY KEY, expires_at BIGINT NOT NULL)
        """,
        """
        CREATE TABLE client_assertions (
          client_id TEXT NOT NULL, jti TEXT NOT NULL, expires_at BIGINT NOT NULL, PRIMARY KEY (client_id, jti))
        """,
        """
        CREATE TABLE selections (
          id TEXT PRIMARY KEY, user_input_id TEXT NOT NULL, app_id TEXT NOT NULL, tool TEXT NOT NULL,
          arguments_sha256 TEXT NOT NULL, recorded_at BIGINT NOT NULL, used_by_jti TEXT)
        """,
        "CREATE INDEX selections_by_session ON selections (user_input_id, app_id)",
        """
        CREATE TABLE llm_calls (
          id TEXT PRIMARY KEY, user_input_id TEXT NOT NULL, app_id TEXT NOT NULL, recorded_at BIGINT NOT NULL)
        """,
        "CREATE INDEX llm_calls_by_session ON llm_calls (user_input_id, app_id)",
        Migration.Change(
          sqlite: """
            CREATE TABLE trace_events (
              sequence \(Migration.serialKey), at BIGINT NOT NULL, kind TEXT NOT NULL, mas_id TEXT,
              user_input_id TEXT, trace_id TEXT, app_id TEXT, payload TEXT NOT NULL)
            """,
          // The driver adds a partition for each day, so that old events go away by the day.
          postgres: """
            CREATE TABLE trace_events (
              sequence BIGSERIAL, at BIGINT NOT NULL, kind TEXT NOT NULL, mas_id TEXT,
              user_input_id TEXT, trace_id TEXT, app_id TEXT, payload TEXT NOT NULL, PRIMARY KEY (sequence, at))
            PARTITION BY RANGE (at)
            """),
        // Takes what belongs to no day there is a partition for.
        Migration.Change(postgres: "CREATE TABLE trace_events_default PARTITION OF trace_events DEFAULT"),
        "CREATE INDEX trace_events_by_session ON trace_events (user_input_id)",
      ]),
    Migration(
      "2026-11-tool-results",
      [
        """
        CREATE TABLE tool_results (
          sequence \(Migration.serialKey), id TEXT NOT NULL UNIQUE, user_input_id TEXT NOT NULL, app_id TEXT NOT NULL,
          server TEXT NOT NULL, tool TEXT NOT NULL, text TEXT NOT NULL, truncated BIGINT NOT NULL,
          unread TEXT NOT NULL, recorded_at BIGINT NOT NULL)
        """,
        "CREATE INDEX tool_results_by_session ON tool_results (user_input_id)",
        "CREATE INDEX tool_results_with_text ON tool_results (user_input_id) WHERE text <> ''",
      ]),
    Migration(
      "2026-11-flows",
      [
        """
        CREATE TABLE nodes (
          id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, secret_salt TEXT NOT NULL, secret_hash TEXT NOT NULL,
          created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL)
        """,
        "ALTER TABLE trace_events ADD COLUMN idempotency_key TEXT",
        Migration.Change(
          sqlite: """
            CREATE UNIQUE INDEX trace_events_by_idempotency_key ON trace_events (idempotency_key)
            WHERE idempotency_key IS NOT NULL
            """,
          // A partitioned table knows uniqueness only within a partition; what is told again comes with the same time.
          postgres: """
            CREATE UNIQUE INDEX trace_events_by_idempotency_key ON trace_events (idempotency_key, at)
            WHERE idempotency_key IS NOT NULL
            """),
        "ALTER TABLE tokens ADD COLUMN addressee_id TEXT",
        "CREATE INDEX tokens_by_sha256 ON tokens (sha256)",
      ]),
    Migration(
      "2026-11-trace-projection",
      [
        // How far the trace was read into the tables below.
        "CREATE TABLE trace_cursors (name TEXT PRIMARY KEY, sequence BIGINT NOT NULL)",
        "INSERT INTO trace_cursors (name, sequence) VALUES ('projection', 0)",
        // A session's number is the sequence of its first event, so numbers ascend with time.
        """
        CREATE TABLE trace_sessions (
          number BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, mas_id TEXT NOT NULL, app_id TEXT, trace_id TEXT,
          started_at BIGINT NOT NULL, last_at BIGINT NOT NULL, events BIGINT NOT NULL, allowed BIGINT NOT NULL,
          refused BIGINT NOT NULL, alerts BIGINT NOT NULL, summary TEXT NOT NULL)
        """,
        "CREATE INDEX trace_sessions_by_mas ON trace_sessions (mas_id, number)",
        "CREATE INDEX trace_sessions_by_start ON trace_sessions (started_at)",
        "CREATE INDEX trace_sessions_by_end ON trace_sessions (last_at)",
        "CREATE TABLE trace_facets (facet TEXT NOT NULL, session BIGINT NOT NULL, PRIMARY KEY (facet, session))",
        "CREATE INDEX trace_facets_by_session ON trace_facets (session)",
        """
        CREATE TABLE trace_tokens (
          sha256 TEXT PRIMARY KEY, sequence BIGINT NOT NULL, user_input_id TEXT, mas_id TEXT NOT NULL,
          parent_sha256 TEXT, scope TEXT NOT NULL, app_id TEXT NOT NULL, audience TEXT NOT NULL, actors TEXT NOT NULL,
          tool TEXT, issued_at BIGINT NOT NULL, expires_at TEXT NOT NULL, spent_at BIGINT, revoked_at BIGINT)
        """,
        "CREATE INDEX trace_tokens_by_session ON trace_tokens (user_input_id)",
        "CREATE INDEX trace_tokens_by_issue ON trace_tokens (issued_at)",
        """
        CREATE TABLE trace_flows (
          node_id TEXT NOT NULL, flow TEXT NOT NULL, node TEXT NOT NULL, workload TEXT NOT NULL, app_id TEXT,
          mas_id TEXT, peer_app_id TEXT, direction TEXT, remote TEXT, opened_at BIGINT, closed_at BIGINT,
          seen_at BIGINT NOT NULL, bytes_out BIGINT, bytes_in BIGINT, refused TEXT, PRIMARY KEY (node_id, flow))
        """,
        "CREATE INDEX trace_flows_by_app ON trace_flows (app_id, seen_at)",
        "CREATE INDEX trace_flows_by_time ON trace_flows (seen_at)",
        """
        CREATE TABLE trace_sightings (
          sequence BIGINT PRIMARY KEY, node_id TEXT NOT NULL, node TEXT NOT NULL, flow TEXT, sha256 TEXT NOT NULL,
          user_input_id TEXT, app_id TEXT, mas_id TEXT, at BIGINT NOT NULL, direction TEXT, method TEXT, path TEXT,
          settled BIGINT NOT NULL)
        """,
        "CREATE INDEX trace_sightings_by_session ON trace_sightings (user_input_id)",
        "CREATE INDEX trace_sightings_by_token ON trace_sightings (sha256)",
        "CREATE INDEX trace_sightings_by_time ON trace_sightings (at)",
        "CREATE INDEX trace_sightings_unsettled ON trace_sightings (at) WHERE settled = 0",
        """
        CREATE TABLE trace_alerts (
          id TEXT PRIMARY KEY, sequence BIGINT NOT NULL, at BIGINT NOT NULL, kind TEXT NOT NULL, mas_id TEXT,
          user_input_id TEXT, app_id TEXT, reason TEXT NOT NULL, explanation TEXT NOT NULL)
        """,
        "CREATE INDEX trace_alerts_by_sequence ON trace_alerts (sequence)",
        "CREATE INDEX trace_alerts_by_session ON trace_alerts (user_input_id)",
        // `mas_id` is '' for the sum over all. Buckets begin at these milliseconds; resolutions are in seconds.
        """
        CREATE TABLE trace_counts (
          resolution BIGINT NOT NULL, mas_id TEXT NOT NULL, bucket BIGINT NOT NULL, what TEXT NOT NULL,
          count BIGINT NOT NULL, PRIMARY KEY (resolution, mas_id, bucket, what))
        """,
        """
        CREATE TABLE trace_checks (
          mas_id TEXT NOT NULL, bucket BIGINT NOT NULL, check_name TEXT NOT NULL, answer TEXT NOT NULL,
          latency_class BIGINT NOT NULL, count BIGINT NOT NULL, microseconds BIGINT NOT NULL,
          PRIMARY KEY (mas_id, bucket, check_name, answer, latency_class))
        """,
        """
        CREATE TABLE trace_edges (
          mas_id TEXT NOT NULL, bucket BIGINT NOT NULL, caller TEXT NOT NULL, callee TEXT NOT NULL,
          allowed BIGINT NOT NULL, refused BIGINT NOT NULL, last_at BIGINT NOT NULL,
          PRIMARY KEY (mas_id, bucket, caller, callee))
        """,
        """
        CREATE TABLE readers (
          id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, secret_salt TEXT NOT NULL, secret_hash TEXT NOT NULL,
          configuration TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL)
        """,
      ]),
    Migration(
      "2026-11-shared-database",
      [
        "CREATE INDEX tokens_revoked ON tokens (expires_at) WHERE revoked_at IS NOT NULL",
        // For deletion: events come about in the order of their times.
        Migration.Change(postgres: "CREATE INDEX trace_events_by_time ON trace_events USING brin (at)"),
      ]),
    Migration(
      "2026-11-approved-definitions",
      [
        "ALTER TABLE tools ADD COLUMN pinned_definition TEXT",
        "UPDATE tools SET pinned_definition = definition WHERE pinned_sha256 = seen_sha256",
      ]),
    Migration(
      "2026-11-trace-updates",
      [
        // A session changes with each of its events: without an index of what changes, and with room beside it,
        // PostgreSQL changes a row in its place and no index.
        "DROP INDEX trace_sessions_by_end",
        Migration.Change(postgres: "ALTER TABLE trace_sessions SET (fillfactor = 60)"),
        Migration.Change(postgres: "ALTER TABLE trace_tokens SET (fillfactor = 85)"),
        Migration.Change(postgres: "ALTER TABLE trace_counts SET (fillfactor = 80)"),
      ]),
    Migration(
      "2026-11-trace-long-spans",
      [
        // Sums over six hours, for the numbers of weeks.
        """
        INSERT INTO trace_counts (resolution, mas_id, bucket, what, count)
        SELECT 21600, mas_id, bucket / 21600000 * 21600000, what, SUM(count) FROM trace_counts
        WHERE resolution = 3600 GROUP BY mas_id, bucket / 21600000, what
        """,
        "ALTER TABLE trace_checks RENAME TO trace_checks_by_hour",
        """
        CREATE TABLE trace_checks (
          resolution BIGINT NOT NULL, mas_id TEXT NOT NULL, bucket BIGINT NOT NULL, check_name TEXT NOT NULL,
          answer TEXT NOT NULL, latency_class BIGINT NOT NULL, count BIGINT NOT NULL, microseconds BIGINT NOT NULL,
          PRIMARY KEY (resolution, mas_id, bucket, check_name, answer, latency_class))
        """,
        Migration.Change(postgres: "ALTER TABLE trace_checks SET (fillfactor = 80)"),
        """
        INSERT INTO trace_checks (
          resolution, mas_id, bucket, check_name, answer, latency_class, count, microseconds)
        SELECT 3600, mas_id, bucket, check_name, answer, latency_class, count, microseconds FROM trace_checks_by_hour
        """,
        """
        INSERT INTO trace_checks (
          resolution, mas_id, bucket, check_name, answer, latency_class, count, microseconds)
        SELECT 21600, mas_id, bucket / 21600000 * 21600000, check_name, answer, latency_class, SUM(count),
          SUM(microseconds)
        FROM trace_checks_by_hour GROUP BY mas_id, bucket / 21600000, check_name, answer, latency_class
        """,
        "DROP TABLE trace_checks_by_hour",
      ]),
    Migration(
      "2026-11-external-owners",
      [
        "ALTER TABLE mas ADD COLUMN owner TEXT",
        "CREATE UNIQUE INDEX mas_by_owner ON mas (owner) WHERE owner IS NOT NULL",
      ]),
    Migration(
      "2026-11-retention",
      [
        // What was recorded in sessions that are forgotten: from now on it goes with them.
        """
        DELETE FROM llm_calls WHERE NOT EXISTS (SELECT 1 FROM user_inputs WHERE user_inputs.id = llm_calls.user_input_id)
        """,
        """
        DELETE FROM selections
        WHERE NOT EXISTS (SELECT 1 FROM user_inputs WHERE user_inputs.id = selections.user_input_id)
        """,
        """
        DELETE FROM tool_results
        WHERE NOT EXISTS (SELECT 1 FROM user_inputs WHERE user_inputs.id = tool_results.user_input_id)
        """,
        // For deletion.
        "CREATE INDEX trace_counts_by_time ON trace_counts (bucket)",
        "CREATE INDEX trace_checks_by_time ON trace_checks (bucket)",
        "CREATE INDEX trace_edges_by_time ON trace_edges (bucket)",
      ]),
    Migration(
      "2026-11-deliveries",
      [
        """
        CREATE TABLE deliveries (
          mas_id TEXT NOT NULL, trace_id TEXT NOT NULL, app_id TEXT NOT NULL, jti TEXT NOT NULL, sha256 TEXT NOT NULL,
          claims TEXT NOT NULL, expires_at BIGINT NOT NULL, PRIMARY KEY (mas_id, trace_id, app_id))
        """,
        "CREATE INDEX deliveries_by_expiry ON deliveries (expires_at)",
      ]),
  ]
}
