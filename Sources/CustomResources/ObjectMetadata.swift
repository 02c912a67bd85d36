public import CASACore

/// What CASA reads of an object's `metadata`.
public struct ObjectMetadata: Sendable, Hashable {
  public let namespace: String
  public let name: String
  /// nil for an object that was read from a file.
  public let uid: String?
  public let generation: Int64?
  /// RFC 3339, as the API server writes it: texts of one form, which order as moments do. Empty for a file.
  public let creationTimestamp: String
  public let isBeingDeleted: Bool

  /// `namespace/name`
  public var reference: String { "\(namespace)/\(name)" }

  /// - Parameters:
  ///   - json: the object's `metadata`.
  ///   - defaultNamespace: of an object that names none.
  /// - Throws: `ResourceError` when names are no names.
  public init(json: JSONValue?, defaultNamespace: String = "default") throws(ResourceError) {
    guard let json, json.object != nil else { throw ResourceError("metadata", expected: "an object") }
    func name(_ member: String, isLabel: Bool) throws(ResourceError) -> String? {
      guard let value = json[member], value != .null else { return nil }
      guard let text = value.string, isLabel ? Name(text) != nil : Self.isSubdomain(text) else {
        throw ResourceError(
          "metadata.\(member)", expected: "a name of lower-case letters, digits and -", got: value.string)
      }
      return text
    }
    guard let own = try name("name", isLabel: false) else { throw ResourceError("metadata.name", expected: "a name") }
    self.name = own
    namespace = try name("namespace", isLabel: true) ?? defaultNamespace
    uid = json["uid"]?.string
    generation = json["generation"]?.integer
    creationTimestamp = json["creationTimestamp"]?.string ?? ""
    isBeingDeleted = json["deletionTimestamp"]?.string != nil
  }

  /// An RFC 1123 subdomain of at most 253 characters.
  static func isSubdomain(_ text: String) -> Bool {
    text.utf8.count <= 253
      && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { Name(String($0)) != nil }
  }
}

extension ObjectMetadata {
  /// Whether this object was there first: what it claims is its own.
  func precedes(_ other: ObjectMetadata) -> Bool {
    (creationTimestamp, namespace, name) < (other.creationTimestamp, other.namespace, other.name)
  }
}
