/// The objects of one kind as they were told by lists and watches.
struct CachedObjects: Sendable {
  /// By namespace, "" for those of the cluster, and name.
  private var objects: [String: [String: KubernetesObject]] = [:]
  private(set) var count = 0

  subscript(key: ObjectKey) -> KubernetesObject? { objects[key.namespace ?? ""]?[key.name] }

  /// - Parameter namespace: nil for all.
  func all(in namespace: String?) -> [KubernetesObject] {
    if let namespace { return objects[namespace].map { Array($0.values) } ?? [] }
    return objects.values.flatMap(\.values)
  }

  /// Takes a list for all there is.
  /// - Parameter unreadable: what is there too, and can't be read: it stays as it was last.
  /// - Returns: what is another object now, or in another state, and what is gone.
  mutating func replace(with list: [KubernetesObject], unreadable: [ObjectKey] = []) -> [ObjectKey] {
    let before = self
    objects = [:]
    count = 0
    for key in unreadable { if let known = before[key] { set(known) } }
    var changed: [ObjectKey] = []
    for object in list {
      set(object)
      if let old = before[object.key], Self.isSameState(old, object) { continue }
      changed.append(object.key)
    }
    for (namespace, names) in before.objects {
      for (name, object) in names where objects[namespace]?[name] == nil { changed.append(object.key) }
    }
    return changed
  }

  /// - Returns: which object changed; nil when none did.
  mutating func take(_ event: WatchEvent) -> ObjectKey? {
    switch event {
    case .added(let object), .modified(let object):
      let old = self[object.key]
      set(object)
      if let old, Self.isSameState(old, object) { return nil }
      return object.key
    case .deleted(let object): return remove(object.key)
    case .gone(let object): return remove(object.key)
    // What was known stays: a pod that somebody writes odd numbers into is not gone, and nobody lets go of it.
    case .unreadable, .bookmark, .expired: return nil
    }
  }

  private mutating func set(_ object: KubernetesObject) {
    if objects[object.namespace ?? "", default: [:]].updateValue(object, forKey: object.name) == nil { count += 1 }
  }

  private mutating func remove(_ key: ObjectKey) -> ObjectKey? {
    let namespace = key.namespace ?? ""
    guard objects[namespace]?.removeValue(forKey: key.name) != nil else { return nil }
    if objects[namespace]?.isEmpty == true { objects[namespace] = nil }
    count -= 1
    return key
  }

  /// A resource version names a state of an object; without one, the states themselves are compared.
  private static func isSameState(_ a: KubernetesObject, _ b: KubernetesObject) -> Bool {
    guard let version = a.resourceVersion, !version.isEmpty else { return a == b }
    return version == b.resourceVersion && a.uid == b.uid
  }
}
