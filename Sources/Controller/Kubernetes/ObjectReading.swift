import AgentProtocols
import CASACore

/// An object that the API server has and that can't be read, such as one with a number beyond 2^53 in it: whoever
/// looks for it does not find it.
package struct UnreadableObject: Sendable, Hashable {
  package let key: ObjectKey
  package let resourceVersion: String?
  /// Quotes nothing of the object.
  package let problem: String
}

/// What came of reading one object.
enum ObjectReading: Sendable, Hashable {
  case object(KubernetesObject)
  case unreadable(UnreadableObject)

  /// Reads the object at `span`. `metadata.managedFields`, which is often longer than the rest, is left out; items of
  /// a list, which have no `kind` and `apiVersion`, get them.
  /// - Throws: `KubernetesError.malformed` when not even its name can be read.
  init(_ outline: JSONOutline, _ span: Range<Int>, of resource: KubernetesResource) throws(KubernetesError) {
    let problem: JSONSyntaxError
    do {
      let value = try Self.value(outline, span)
      if var members = value.object {
        if members["kind"] == nil { members["kind"] = .string(resource.kind) }
        if members["apiVersion"] == nil { members["apiVersion"] = .string(resource.apiVersion) }
        self = .object(try KubernetesObject(json: .object(members)))
        return
      }
      throw KubernetesError.malformed("expected an object of kind \(resource.kind)")
    } catch let error as KubernetesError {
      throw error
    } catch let error as JSONSyntaxError {
      problem = error
    } catch {
      throw .malformed("expected an object of kind \(resource.kind)")
    }
    guard let rest = Self.whatNames(outline, span, problem: problem) else {
      throw .malformed("\(problem), and no name is found in it")
    }
    self = .unreadable(rest)
  }

  /// 2 MiB are more than etcd stores.
  private static let limits = JSONLimits(maximumBytes: 4 << 20, maximumDepth: 128, maximumNodes: 400_000)

  private static func value(_ outline: JSONOutline, _ span: Range<Int>) throws(JSONSyntaxError) -> JSONValue {
    guard span.count <= limits.maximumBytes else { throw JSONSyntaxError(.tooLarge, at: limits.maximumBytes) }
    guard let cut = try managedFields(outline, span) else {
      return try JSONValue(parsing: outline.text(span), limits: limits)
    }
    return try JSONValue(
      parsing: Array(outline.bytes[span.lowerBound..<cut.lowerBound] + outline.bytes[cut.upperBound..<span.upperBound]),
      limits: limits)
  }

  /// What to cut so that the rest is the same object without `metadata.managedFields`.
  private static func managedFields(
    _ outline: JSONOutline, _ span: Range<Int>
  ) throws(JSONSyntaxError) -> Range<Int>? {
    guard outline.bytes[span].first == UInt8(ascii: "{"),
      let metadata = outline.value(of: "metadata", in: try outline.members(span)),
      outline.bytes[metadata.lowerBound] == UInt8(ascii: "{")
    else { return nil }
    let members = try outline.members(metadata)
    guard let index = members.firstIndex(where: { outline.isNamed($0, "managedFields") }) else { return nil }
    let member = members[index].whole
    if index + 1 < members.count { return member.lowerBound..<members[index + 1].whole.lowerBound }
    if index > 0 { return members[index - 1].whole.upperBound..<member.upperBound }
    return member
  }

  private static func whatNames(
    _ outline: JSONOutline, _ span: Range<Int>, problem: JSONSyntaxError
  ) -> UnreadableObject? {
    guard let members = try? outline.members(span), let metadata = outline.value(of: "metadata", in: members),
      let named = try? outline.members(metadata)
    else { return nil }
    func text(_ name: StaticString) -> String? {
      outline.value(of: name, in: named).flatMap { try? JSONValue(parsing: outline.text($0)) }?.string
    }
    guard let name = text("name"), !name.isEmpty else { return nil }
    let namespace = text("namespace")
    return UnreadableObject(
      key: ObjectKey(namespace: namespace?.isEmpty == true ? nil : namespace, name: name),
      resourceVersion: text("resourceVersion"), problem: problem.problem.rawValue)
  }
}
