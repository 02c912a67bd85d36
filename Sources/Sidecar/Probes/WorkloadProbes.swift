import AgentProtocols
import CASACore

/// The probes of a pod's apps that its sidecar carries out, each under a name of its own: `CASA_PROBES`.
public struct WorkloadProbes: Sendable, Hashable {
  /// The environment variable that holds them.
  public static let variable = "CASA_PROBES"
  /// Where the sidecar says how it is itself.
  public static let readinessPath = "/ready"
  public static let maximumBytes = 65_536
  public static let maximumCount = 128

  /// Which of a container's probes.
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    case startup, liveness, readiness

    /// The member of a container that holds it.
    public var member: String { rawValue + "Probe" }
  }

  /// A probe's name: `container/kind`.
  public struct Name: Sendable, Hashable {
    public let container: String
    public let kind: Kind

    public init(container: String, kind: Kind) {
      self.container = container
      self.kind = kind
    }

    /// nil unless `text` is the name of a container (RFC 1123's label), a slash and a kind.
    public init?(_ text: String) {
      let parts = text.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.count == 2, let kind = Kind(rawValue: String(parts[1])), (1...63).contains(parts[0].utf8.count),
        parts[0].utf8.allSatisfy({
          (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
        })
      else { return nil }
      self.init(container: String(parts[0]), kind: kind)
    }

    public var text: String { container + "/" + kind.rawValue }
    /// Where the sidecar answers it.
    public var path: String { "/probe/" + text }
  }

  public private(set) var probes: [Name: WorkloadProbe]

  public init(_ probes: [Name: WorkloadProbe] = [:]) { self.probes = probes }

  public subscript(name: Name) -> WorkloadProbe? {
    get { probes[name] }
    set { probes[name] = newValue }
  }

  /// Reads what `text` writes.
  /// - Throws: `ConfigurationError` that says what was expected.
  public init(parsing text: String) throws(ConfigurationError) {
    let what = "\(Self.variable) must be an object of probes as the injector writes it"
    let json: JSONValue
    do {
      json = try JSONValue(
        parsing: text,
        limits: JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 6, maximumNodes: 16_384))
    } catch { throw ConfigurationError("\(what): \(error)") }
    guard let members = json.object, members.count <= Self.maximumCount else {
      throw ConfigurationError("\(what), at most \(Self.maximumCount) of them")
    }
    probes = [:]
    for (key, value) in members {
      guard let name = Name(key) else { throw ConfigurationError("\(what): `container/kind` is expected as a name") }
      let probe: WorkloadProbe?
      do throws(InvalidField) {
        probe = try WorkloadProbe(value)
      } catch {
        throw ConfigurationError("\(what): \(name.text): \(error)")
      }
      guard let probe else { throw ConfigurationError("\(what): \(name.text) has no httpGet, tcpSocket or grpc") }
      probes[name] = probe
    }
  }

  /// The one text for these probes, in canonical JSON.
  public var text: String {
    JSONValue.object(Dictionary(probes.map { ($0.key.text, $0.value.json) }, uniquingKeysWith: { first, _ in first }))
      .canonicalText
  }
}
