import Foundation

/// Puts interception into the current network namespace, takes it out, and sees to it that what was put is there.
public struct Interception: Sendable {
  /// What was done for one family.
  public enum Outcome: Sendable, Hashable, CustomStringConvertible {
    case set, unchanged, removed
    /// The kernel has no such protocol: there is nothing to intercept.
    case absent

    public var description: String {
      switch self {
      case .set: "set and read back"
      case .unchanged: "nothing to change"
      case .removed: "removed"
      case .absent: "this kernel does not have it"
      }
    }
  }

  private let backend: PacketFilterBackend?

  /// - Parameter backend: nil takes the one whose rules are there already, else nft where the kernel can.
  public init(backend: PacketFilterBackend?) { self.backend = backend }

  /// Whether this is the machine's own network namespace and not a pod's: only there are the settings of the network
  /// core that are not any namespace's.
  public static var isMachinesOwnNetwork: Bool {
    FileManager.default.fileExists(atPath: "/proc/sys/net/core/netdev_budget")
  }

  /// Whether this process runs as root, as the tools want it.
  public static var isRoot: Bool { geteuid() == 0 }

  /// Whether the kernel speaks a family at all; IPv6 that is only disabled by a setting counts, since it can be
  /// enabled again.
  static func kernelHas(_ family: IPFamily) -> Bool {
    family == .ipv4 || FileManager.default.fileExists(atPath: "/proc/net/if_inet6")
  }

  /// Sets the rules for both families and reads them back. One family's failure keeps the other from nothing: whatever
  /// could be set stays, so that the namespace is closed rather than open.
  /// - Throws: `InterceptionError` that names every failure.
  public func apply(_ rules: InterceptionRules) async throws(InterceptionError) -> [IPFamily: Outcome] {
    try await each { (family) throws(InterceptionError) in
      let filter = try await filter(family)
      guard let input = rules.restoreInput(family, over: try await filter.save()) else { return .unchanged }
      try await filter.restore(input)
      let missing = rules.missing(family, from: try await filter.save())
      guard missing.isEmpty else {
        throw InterceptionError("the rules that were read back are not those that were set: \(missing[0])")
      }
      return .set
    }
  }

  /// Removes our chains from every backend there is.
  /// - Throws: `InterceptionError`
  public func remove() async throws(InterceptionError) -> [IPFamily: Outcome] {
    try await each { (family) throws(InterceptionError) in
      var outcome = Outcome.unchanged
      var failures: [InterceptionError] = []
      for backend in backend.map({ [$0] }) ?? PacketFilterBackend.allCases {
        let filter = PacketFilter(backend: backend, family: family)
        do throws(InterceptionError) {
          guard let input = InterceptionRules.removalInput(from: try await filter.save()) else { continue }
          try await filter.restore(input)
          outcome = .removed
          guard InterceptionRules.removalInput(from: try await filter.save()) == nil else {
            throw InterceptionError("rules are still there after \(filter.tool("restore")) removed them")
          }
        } catch {
          failures.append(error)
        }
      }
      // One backend may be missing; both may not.
      if let failure = failures.first, outcome == .removed || failures.count == (self.backend == nil ? 2 : 1) {
        throw failure
      }
      return outcome
    }
  }

  private func each(
    _ act: (IPFamily) async throws(InterceptionError) -> Outcome
  ) async throws(InterceptionError) -> [IPFamily: Outcome] {
    var outcomes: [IPFamily: Outcome] = [:]
    var failures: [String] = []
    for family in IPFamily.allCases {
      guard Self.kernelHas(family) else {
        outcomes[family] = .absent
        continue
      }
      do throws(InterceptionError) {
        outcomes[family] = try await act(family)
      } catch {
        failures.append("\(family.rawValue): \(error)")
      }
    }
    guard failures.isEmpty else { throw InterceptionError(failures.joined(separator: "\n")) }
    return outcomes
  }

  private func filter(_ family: IPFamily) async throws(InterceptionError) -> PacketFilter {
    if let backend { return PacketFilter(backend: backend, family: family) }
    let legacy = PacketFilter(backend: .legacy, family: family)
    if let saved = try? await legacy.save(), !saved.isEmpty { return legacy }
    let nft = PacketFilter(backend: .nft, family: family)
    do throws(InterceptionError) {
      _ = try await nft.save()
      return nft
    } catch {
      // What legacy says is worth reading only where it works.
      if (try? await legacy.save()) != nil { return legacy }
      throw error
    }
  }
}
