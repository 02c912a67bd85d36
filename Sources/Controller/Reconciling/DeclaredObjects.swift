import CASACore
import ClusterObjects
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
    /// By namespace and label.
    var byWorkload: [ObjectKey: ObjectKey] = [:]
    /// What `changes` told last.
    var told = Resolution(systems: [], policies: [])
    var toldBySystem: [ObjectKey: ResolvedSystem] = [:]
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

    var problem: ResourceProblem? {
      if case .problem(let problem) = self { problem } else { nil }
    }
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

  /// The system one of whose apps runs as the workload whose pods have a label.
  func system(ofLabel label: String, in namespace: String) -> ObjectKey? {
    state.withLock { state in
      Self.update(&state)
      return state.byWorkload[ObjectKey(namespace: namespace, name: label)]
    }
  }

  /// What all of them come to; those that can't be read are left out.
  var resolution: Resolution {
    state.withLock { state in
      Self.update(&state)
      return state.resolution
    }
  }

  /// Every object, by key.
  var keys: (systems: [ObjectKey], policies: [ObjectKey]) {
    state.withLock { (Array($0.systems.keys), Array($0.policies.keys)) }
  }

  /// Those whose outcome is another than when this was asked last.
  struct Changes: Sendable {
    var systems: [ObjectKey] = []
    var policies: [ObjectKey] = []
  }

  func changes() -> Changes {
    state.withLock { state in
      Self.update(&state)
      var changes = Changes()
      let (old, now) = (state.told, state.resolution)
      for key in Set(state.systems.keys).union(state.toldBySystem.keys) {
        let reference = key.description
        guard
          state.toldBySystem[key] != state.bySystem[key]
            || old.refusedSystems[reference] != now.refusedSystems[reference]
        else { continue }
        changes.systems.append(key)
      }
      for key in state.policies.keys where old.policyProblems[key.description] != now.policyProblems[key.description] {
        changes.policies.append(key)
      }
      (state.told, state.toldBySystem) = (now, state.bySystem)
      return changes
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
          let label = WorkloadLabel.value(of: workload)
          state.byWorkload[ObjectKey(namespace: metadata.namespace, name: label)] = key
        }
      }
    }
  }
}
