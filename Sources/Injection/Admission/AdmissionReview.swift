import AgentProtocols
public import CASACore

/// What the API server asks before it stores an object: `AdmissionReview` of `admission.k8s.io/v1`.
public struct AdmissionReview: Sendable, Hashable {
  public enum Operation: String, Sendable, Hashable, CaseIterable {
    case create = "CREATE"
    case update = "UPDATE"
    case delete = "DELETE"
    case connect = "CONNECT"
  }

  /// Which kind of object, and by which name of the API.
  public struct Resource: Sendable, Hashable {
    public let group: String
    public let version: String
    public let resource: String
    /// Such as `ephemeralcontainers`; nil for the object itself.
    public let subresource: String?
    /// The kind of what `object` holds.
    public let kind: String
  }

  /// Who asks for it, as the API server authenticated them.
  public struct User: Sendable, Hashable {
    public let name: String
    public let groups: Set<String>

    public init(name: String, groups: Set<String>) {
      self.name = name
      self.groups = groups
    }
  }

  /// Larger ones are refused, as the API server's own objects are.
  public static let maximumBytes = 3 << 20
  static let limits = JSONLimits(maximumBytes: maximumBytes, maximumDepth: 64, maximumNodes: 300_000)

  public let uid: String
  public let resource: Resource
  public let operation: Operation
  /// Empty for an object that will be given a name.
  public let name: String
  /// Empty for objects of the cluster.
  public let namespace: String
  public let user: User
  /// The object as it will be; nil at a deletion.
  public let object: JSONValue?
  /// The object as it is; nil at a creation.
  public let oldObject: JSONValue?
  /// Whether nothing will be stored. What is answered is the same.
  public let isDryRun: Bool

  /// - Throws: `AdmissionReviewError`
  public init(parsing bytes: [UInt8]) throws(AdmissionReviewError) {
    let json: JSONValue
    do {
      json = try JSONValue(parsing: bytes, limits: Self.limits)
    } catch {
      throw .unanswerable("the body is not strict JSON: \(error)")
    }
    guard let request = json["request"], let uid = request["uid"]?.string, (1...128).contains(uid.utf8.count),
      uid.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else {
      throw .unanswerable("the body must be an AdmissionReview of admission.k8s.io/v1 with `request.uid`")
    }
    self.uid = uid
    guard json["kind"]?.string == "AdmissionReview", json["apiVersion"]?.string == "admission.k8s.io/v1" else {
      throw .refused(
        uid: uid,
        AdmissionRefusal(
          "an AdmissionReview of admission.k8s.io/v1 was expected; give `admissionReviewVersions: [v1]` in the "
            + "webhook's configuration", code: 400))
    }
    do throws(AdmissionRefusal) {
      let fields = try Fields(request, at: "request")
      let kind = try fields.fields("kind")
      let resource = try fields.fields("resource")
      guard let kindName = try kind.string("kind"), !kindName.isEmpty, let name = try resource.string("resource"),
        !name.isEmpty
      else { throw AdmissionRefusal(malformed: "request.kind and request.resource", expected: "there") }
      let group = try resource.string("group") ?? ""
      // The one object can't be of two groups, unless it is what goes to a subresource.
      let subresource = try fields.string("subResource") ?? ""
      let kindGroup = try kind.string("group") ?? ""
      guard !subresource.isEmpty || kindGroup == group else {
        throw AdmissionRefusal(malformed: "request.kind.group", expected: "that of request.resource")
      }
      self.resource = Resource(
        group: group, version: try resource.string("version") ?? "", resource: name,
        subresource: subresource.isEmpty ? nil : subresource, kind: kindName)
      guard let text = try fields.string("operation"), let operation = Operation(rawValue: text) else {
        throw AdmissionRefusal(
          malformed: "request.operation", expected: Operation.allCases.map(\.rawValue).joined(separator: ", "))
      }
      self.operation = operation
      self.name = try fields.string("name") ?? ""
      namespace = try fields.string("namespace") ?? ""
      let user = try fields.fields("userInfo")
      self.user = User(name: try user.string("username") ?? "", groups: Set(try user.strings("groups")))
      object = try fields.optionalFields("object").map { .object($0.members) }
      oldObject = try fields.optionalFields("oldObject").map { .object($0.members) }
      isDryRun = try fields.bool("dryRun") ?? false
      switch operation {
      case .create, .connect:
        guard object != nil else { throw AdmissionRefusal(malformed: "request.object", expected: "there") }
      case .update:
        guard object != nil, oldObject != nil else {
          throw AdmissionRefusal(malformed: "request.object and request.oldObject", expected: "there at an UPDATE")
        }
      case .delete: break
      }
      if let object, operation != .delete {
        guard object["kind"]?.string == kindName else {
          throw AdmissionRefusal(malformed: "request.object.kind", expected: "that of request.kind")
        }
      }
    } catch {
      throw .refused(uid: uid, error)
    }
  }
}

/// Why bytes are not a review that can be decided about.
public enum AdmissionReviewError: Error, Sendable, Hashable {
  /// There is nobody to answer: it is no review, or has no uid.
  case unanswerable(String)
  /// It has a uid, which the refusal is for.
  case refused(uid: String, AdmissionRefusal)
}
