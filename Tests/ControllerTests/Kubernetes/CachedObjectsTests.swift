import CASACore
import Testing

@testable import Controller

@Suite("Objects as lists and watches tell them")
struct CachedObjectsTests {
  private func object(_ name: String, _ version: Int, in namespace: String? = "n", uid: String = "u")
    -> KubernetesObject
  {
    var metadata: [String: JSONValue] = [
      "name": .string(name), "resourceVersion": .string("\(version)"), "uid": .string(uid),
    ]
    if let namespace { metadata["namespace"] = .string(namespace) }
    guard let object = try? KubernetesObject(json: ["metadata": .object(metadata)]) else { fatalError("no object") }
    return object
  }

  @Test("tells what changed between two lists, and what is gone")
  func lists() {
    var objects = CachedObjects()
    #expect(
      objects.replace(with: [object("a", 1), object("b", 1), object("c", 1)]).map(\.name).sorted() == ["a", "b", "c"])
    let changed = objects.replace(with: [object("a", 1), object("b", 2), object("d", 3)])
    #expect(changed.map(\.name).sorted() == ["b", "c", "d"])
    #expect(objects.count == 3)
    #expect(objects[ObjectKey(namespace: "n", name: "c")] == nil)
    // Another object of the same name is a change.
    #expect(objects.replace(with: [object("a", 1, uid: "v"), object("b", 2), object("d", 3)]).map(\.name) == ["a"])
    #expect(objects.replace(with: []).count == 3)
    #expect(objects.count == 0)
  }

  @Test("tells an event that changes something, and no other")
  func events() {
    var objects = CachedObjects()
    #expect(objects.take(.added(object("a", 1)))?.name == "a")
    #expect(objects.take(.added(object("a", 1))) == nil)
    #expect(objects.take(.modified(object("a", 2)))?.name == "a")
    #expect(objects.take(.bookmark(resourceVersion: "9")) == nil)
    #expect(objects.take(.deleted(object("a", 3)))?.name == "a")
    #expect(objects.take(.deleted(object("a", 3))) == nil)
    #expect(objects.count == 0)
  }

  @Test("an object that can no longer be read stays as it was, until it is gone")
  func unreadable() {
    var objects = CachedObjects()
    let known = object("a", 1)
    _ = objects.take(.added(known))
    let key = known.key
    let odd = UnreadableObject(key: key, resourceVersion: "2", problem: "p")
    #expect(objects.take(.unreadable(odd)) == nil)
    #expect(objects[key] == known)
    #expect(objects.replace(with: [], unreadable: [key, ObjectKey(namespace: "n", name: "b")]).isEmpty)
    #expect(objects[key] == known)
    #expect(objects.count == 1)
    #expect(objects.take(.gone(odd)) == key)
    #expect(objects[key] == nil)
    #expect(objects.count == 0)
  }

  @Test("keeps namespaces apart")
  func namespaces() {
    var objects = CachedObjects()
    _ = objects.replace(with: [object("a", 1), object("a", 1, in: "m"), object("a", 1, in: nil)])
    #expect(objects.count == 3)
    #expect(objects.all(in: "m").map(\.key) == [ObjectKey(namespace: "m", name: "a")])
    #expect(objects.all(in: nil).count == 3)
    #expect(objects[ObjectKey(namespace: nil, name: "a")] != nil)
  }
}
