import NIOHTTP1

/// One request to the API server.
struct APIRequest: Sendable {
  var method: HTTPMethod = .GET
  let path: String
  var query: [(name: String, value: String)] = []
  var body: (type: String, bytes: [UInt8])?
  /// Whether sending it twice comes to the same as sending it once.
  var isIdempotent = true
  var maximumAnswerBytes = 8 << 20

  /// Path and query.
  var target: String {
    guard !query.isEmpty else { return path }
    return path + "?"
      + query.map { "\(KubernetesResource.percentEncoded($0.name))=\(KubernetesResource.percentEncoded($0.value))" }
      .joined(separator: "&")
  }
}

/// Which objects of a kind are meant.
package struct ObjectSelection: Sendable, Hashable {
  /// nil for all.
  package var namespace: String?
  /// As kubectl's `--selector`.
  package var labels: String?
  /// As kubectl's `--field-selector`.
  package var fields: String?

  package init(namespace: String? = nil, labels: String? = nil, fields: String? = nil) {
    self.namespace = namespace
    self.labels = labels
    self.fields = fields
  }

  package static let all = ObjectSelection()

  var query: [(name: String, value: String)] {
    var query: [(name: String, value: String)] = []
    if let labels { query.append(("labelSelector", labels)) }
    if let fields { query.append(("fieldSelector", fields)) }
    return query
  }
}
