import CASACore
import CustomResources
import Synchronization

/// The custom resources of the cluster and what they come to, computed anew only when one of them changed in what it
/// declares.
final class DeclaredObjects: Sendable {
  /// What one object says, or why it can't be read.
  private enum Reading<Value: Sendable & Hashable>: Sendable, Hashable {
    case read(Value)
    case unreadable(ResourceError)
  }

  private struct Version: Hashable {
    let uid: String?
    let generation: Int64?
    let isBeingDeleted: Bool
  }

  private struct State {
    var systems: [ObjectKey: (version: Version, reading: Reading<MultiAgentSystem>)] = [:]
    var policies: [ObjectKey: (version: Version, reading: Reading<CASAPolicy>)] = [:]
    var isStale = true
    var resolution = Resolution(systems: [], policies: [])
    var bySystem: [ObjectKey: ResolvedSystem] = [:]
    var byWorkload: [ObjectKey: ObjectKey] = [:]
  }

  private let state = Mutex(State())

  /// Takes in a system as it is now; nil when it is gone.
  /// - Returns: whether it declares something else than before.
  func setSystem(_ key: ObjectKey, _ object: KubernetesObject?) -> Bool {
    state.withLock { state in
      guard let object else {
        let wasThere = state.systems.removeValue(forKey: key) != nil
        state.isStale = state.isStale || wasThere
        return wasThere
      }
      let version = Self.version(object)
      guard state.systems[key]?.version != version else { return false }
      state.systems[key] = (version, Self.read { () throws(ResourceError) in try MultiAgentSystem(json: object.json) })
      state.isStale = true
      return true
    }
  }

  func setPolicy(_ key: ObjectKey, _ object: KubernetesObject?) -> Bool {
    state.withLock { state in
      guard let object else {
        let wasThere = state.policies.removeValue(forKey: key) != nil
        state.isStale = state.isStale || wasThere
        return wasThere
      }
      let version = Self.version(object)
      guard state.policies[key]?.version != version else { return false }
      state.policies[key] = (version, Self.read { () throws(ResourceError) in try CASAPolicy(json: object.json) })
      state.isStale = true
      return true
    }
  }

  private static func version(_ object: KubernetesObject) -> Version {
    Version(uid: object.uid, generation: object.generation, isBeingDeleted: object.isBeingDeleted)
  }

  private static func read<Value>(_ read: () throws(ResourceError) -> Value) -> Reading<Value> {
    do throws(ResourceError) {
      return .read(try read())
    } catch {
      return .unreadable(error)
    }
  }

  /// What an object comes to.
  enum Outcome<Value: Sendable>: Sendable {
    case inForce(Value)
    case problem(ResourceProblem)
    /// It is not there, or on its way out.
    case gone
  }

  func system(_ key: ObjectKey) -> Outcome<ResolvedSystem> {
    state.withLock { state in
      Self.update(&state)
      switch state.systems[key]?.reading {
      case nil: return .gone
      case .unreadable(let error): return .problem(ResourceProblem(.invalidSpec, "\(error)"))
      case .read(let system):
        if let resolved = state.bySystem[key] { return .inForce(resolved) }
        if let problem = state.resolution.refusedSystems[system.metadata.reference] { return .problem(problem) }
        return .gone
      }
    }
  }

  func policy(_ key: ObjectKey) -> Outcome<CASAPolicy> {
    state.withLock { state in
      Self.update(&state)
      switch state.policies[key]?.reading {
      case nil: return .gone
      case .unreadable(let error): return .problem(ResourceProblem(.invalidSpec, "\(error)"))
      case .read(let policy):
        if policy.metadata.isBeingDeleted { return .gone }
        if let problem = state.resolution.policyProblems[policy.metadata.reference] { return .problem(problem) }
        return .inForce(policy)
      }
    }
  }

  /// The system one of whose apps runs as a workload.
  func system(ofWorkload name: String, in namespace: String) -> ObjectKey? {
    state.withLock { state in
      Self.update(&state)
      return state.byWorkload[ObjectKey(namespace: namespace, name: name)]
    }
  }

  /// Every object, by key.
  var keys: (systems: [ObjectKey], policies: [ObjectKey]) {
    state.withLock { (Array($0.systems.keys), Array($0.policies.keys)) }
  }

  /// Those whose outcome is another than when this was asked last, after a change.
  func changedKeys() -> (systems: [ObjectKey], policies: [ObjectKey]) {
    state.withLock { state in
      let (before, systems) = (state.resolution, state.bySystem)
      guard state.isStale else { return ([], []) }
      Self.update(&state)
      let now = state.resolution
      let changed = state.systems.keys.filter { key in
        let reference = key.description
        return systems[key] != state.bySystem[key]
          || before.refusedSystems[reference] != now.refusedSystems[reference]
      }
      let policies = state.policies.keys.filter {
        before.policyProblems[$0.description] != now.policyProblems[$0.description]
      }
      return (changed, policies)
    }
  }

  private static func update(_ state: inout State) {
    guard state.isStale else { return }
    state.isStale = false
    var systems: [MultiAgentSystem] = []
    for case .read(let system) in state.systems.values.map(\.reading) { systems.append(system) }
    var policies: [CASAPolicy] = []
    for case .read(let policy) in state.policies.values.map(\.reading) { policies.append(policy) }
    state.resolution = Resolution(systems: systems, policies: policies)
    state.bySystem = [:]
    state.byWorkload = [:]
    for system in state.resolution.systems {
      let metadata = system.object.metadata
      let key = ObjectKey(namespace: metadata.namespace, name: metadata.name)
      state.bySystem[key] = system
      for app in system.apps {
        if let workload = app.app.workloadName {
          state.byWorkload[ObjectKey(namespace: metadata.namespace, name: workload)] = key
        }
      }
    }
  }
}
