import AgentProtocols
import CASACore

/// What a watch tells.
package enum WatchEvent: Sendable, Hashable {
  case added(KubernetesObject)
  case modified(KubernetesObject)
  /// As it was last.
  case deleted(KubernetesObject)
  /// Nothing happened up to this resource version.
  case bookmark(resourceVersion: String)
  /// An object was made or changed that can't be read.
  case unreadable(UnreadableObject)
  /// An object that can't be read was deleted.
  case gone(UnreadableObject)
  /// The server no longer has what happened since the watch's resource version; the watch has ended.
  case expired

  /// Reads one line of a watch.
  /// - Throws: `KubernetesError`: what an event `ERROR` says, or `malformed`.
  init(line: [UInt8], of resource: KubernetesResource) throws(KubernetesError) {
    let outline = JSONOutline(line)
    let type: String
    let object: Range<Int>
    do throws(JSONSyntaxError) {
      let members = try outline.members(try outline.root())
      guard let place = outline.value(of: "type", in: members),
        let span = outline.value(of: "object", in: members),
        case .string(let text) = try JSONValue(parsing: outline.text(place))
      else { throw JSONSyntaxError(.unexpectedEnd, at: line.count) }
      (type, object) = (text, span)
    } catch {
      throw .malformed("expected an event with type and object: \(error)")
    }
    switch type {
    case "ADDED", "MODIFIED", "DELETED":
      switch try ObjectReading(outline, object, of: resource) {
      case .unreadable(let object): self = type == "DELETED" ? .gone(object) : .unreadable(object)
      case .object(let object):
        switch type {
        case "ADDED": self = .added(object)
        case "MODIFIED": self = .modified(object)
        default: self = .deleted(object)
        }
      }
    case "BOOKMARK":
      guard let version = (try? JSONValue(parsing: outline.text(object)))?["metadata"]?["resourceVersion"]?.string
      else { throw .malformed("expected a bookmark with metadata.resourceVersion") }
      self = .bookmark(resourceVersion: version)
    case "ERROR":
      let status = try? JSONValue(parsing: outline.text(object))
      let error = KubernetesError(code: status?["code"]?.integer.map(Int.init(clamping:)) ?? 500, status: status)
      guard error == .gone else { throw error }
      self = .expired
    default: throw .malformed("expected ADDED, MODIFIED, DELETED, BOOKMARK or ERROR as an event's type")
    }
  }

  /// From where a watch goes on after this event.
  package var resourceVersion: String? {
    switch self {
    case .added(let object), .modified(let object), .deleted(let object): object.resourceVersion
    case .bookmark(let version): version
    case .unreadable(let object), .gone(let object): object.resourceVersion
    case .expired: nil
    }
  }
}
