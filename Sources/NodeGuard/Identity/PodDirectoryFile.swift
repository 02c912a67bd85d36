import AgentProtocols
import CASACore

/// Pods as a JSON file lists them: `{"pods": [{"uid", "namespace", "name", "containers": [{"id", "name"}]}]}`.
public struct PodDirectoryFile: PodDirectory {
  /// Why a file lists no pods.
  public struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    public let description: String
  }

  /// The most bytes of a file.
  public static let maximumBytes = 16 << 20

  private let path: String

  public init(path: String) { self.path = path }

  /// Reads the file anew.
  /// - Throws: `Failure`
  public func pods() async throws -> [PodMetadata] {
    do {
      return try Self.pods(parsing: try BoundedFile.read(path, maximumBytes: Self.maximumBytes))
    } catch let failure as Failure {
      throw Failure(description: "\(path): \(failure)")
    } catch {
      throw Failure(description: String(describing: error))
    }
  }

  /// - Throws: `Failure` that says which pod is not as it must be. Members beside those that are named are ignored.
  static func pods(parsing bytes: [UInt8]) throws(Failure) -> [PodMetadata] {
    let root: JSONValue
    do {
      root = try JSONValue(
        parsing: bytes,
        limits: JSONLimits(maximumBytes: maximumBytes, maximumDepth: 16, maximumNodes: 4_000_000))
    } catch {
      throw Failure(description: "expected JSON: \(error)")
    }
    guard let pods = root["pods"]?.array else { throw Failure(description: "expected an object with the list `pods`") }
    var found: [PodMetadata] = []
    for (index, pod) in pods.enumerated() {
      guard let uid = pod["uid"]?.string, let namespace = pod["namespace"]?.string, let name = pod["name"]?.string,
        let listed = pod["containers"]?.array
      else {
        throw Failure(description: "pods[\(index)]: expected the texts uid, namespace, name and the list containers")
      }
      var containers: [String: String] = [:]
      for (place, container) in listed.enumerated() {
        guard let id = container["id"]?.string, let name = container["name"]?.string else {
          throw Failure(description: "pods[\(index)].containers[\(place)]: expected the texts id and name")
        }
        // Kubernetes writes the runtime's name before it, such as `containerd://`.
        let digits = id.split(separator: "/").last.map(String.init) ?? ""
        guard containers.updateValue(name, forKey: digits) == nil else {
          throw Failure(description: "pods[\(index)].containers[\(place)]: expected each id once")
        }
      }
      found.append(PodMetadata(uid: uid, namespace: namespace, name: name, containers: containers))
    }
    return found
  }
}
