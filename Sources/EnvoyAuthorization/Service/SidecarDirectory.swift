import CASACore
import Crypto
import NIOHPACK
import Sidecar

/// Finds the workload whose sidecar asks, by the key that Envoy sends with each question.
struct SidecarDirectory: Sendable {
  static let keyField = "x-casa-sidecar-key"

  /// By the key's SHA-256: looking it up tells nothing of the key by its timing.
  private let workloads: [TokenHash: GuardedWorkload]

  /// - Throws: `ConfigurationError` when two workloads have the same key: one would be decided about as the other.
  init(_ workloads: [(key: SidecarKey, workload: GuardedWorkload)]) throws(ConfigurationError) {
    var byKey: [TokenHash: GuardedWorkload] = [:]
    for (key, workload) in workloads where byKey.updateValue(workload, forKey: Self.digest(key.text)) != nil {
      throw ConfigurationError("\(workload.workload.sidecarKeyFile) holds the key of another workload's sidecar too")
    }
    self.workloads = byKey
  }

  var all: [GuardedWorkload] { Array(workloads.values) }

  /// - Parameter head: of the question; it must hold one key.
  func workload(for head: HPACKHeaders) -> GuardedWorkload? {
    let keys = head[Self.keyField]
    guard keys.count == 1 else { return nil }
    return workloads[Self.digest(keys[0])]
  }

  private static func digest(_ key: String) -> TokenHash {
    TokenHash(digest: SHA256.hash(data: Array(key.utf8)))
  }
}
