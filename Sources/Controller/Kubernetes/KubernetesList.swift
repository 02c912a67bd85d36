import AgentProtocols
import CASACore

/// The objects that there are, and as of when.
package struct KubernetesList: Sendable, Hashable {
  package var items: [KubernetesObject] = []
  package var unreadable: [UnreadableObject] = []
  /// From where a watch goes on.
  package var resourceVersion = ""
}

/// One answer to a list.
struct ListPage: Sendable, Hashable {
  var readings: [ObjectReading] = []
  var resourceVersion: String
  /// What to ask for the next page with; nil on the last.
  var continuation: String?

  /// - Throws: `KubernetesError.malformed`
  init(parsing bytes: [UInt8], of resource: KubernetesResource) throws(KubernetesError) {
    let outline = JSONOutline(bytes)
    let spans: [Range<Int>]
    let metadata: JSONValue
    do throws(JSONSyntaxError) {
      let members = try outline.members(try outline.root())
      guard let place = outline.value(of: "metadata", in: members) else {
        throw JSONSyntaxError(.unexpectedEnd, at: bytes.count)
      }
      metadata = try JSONValue(parsing: outline.text(place))
      if let items = outline.value(of: "items", in: members), outline.bytes[items.lowerBound] != UInt8(ascii: "n") {
        spans = try outline.elements(items)
      } else {
        // A Go program writes an empty slice as null.
        spans = []
      }
    } catch {
      throw .malformed("expected a list of \(resource.plural): \(error)")
    }
    guard let version = metadata["resourceVersion"]?.string else {
      throw .malformed("expected a list of \(resource.plural) with metadata.resourceVersion")
    }
    resourceVersion = version
    continuation = metadata["continue"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    for span in spans { readings.append(try ObjectReading(outline, span, of: resource)) }
  }
}
