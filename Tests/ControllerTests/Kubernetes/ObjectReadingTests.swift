import AgentProtocols
import CASACore
import Testing

@testable import Controller

@Suite("Reading what the API server answers")
struct ObjectReadingTests {
  private func read(_ text: String, _ resource: KubernetesResource = .pods) throws(KubernetesError) -> ObjectReading {
    let outline = JSONOutline(Array(text.utf8))
    return try ObjectReading(outline, 0..<outline.bytes.count, of: resource)
  }

  @Test(
    "leaves managedFields out and nothing else",
    arguments: [
      #"{"metadata":{"name":"a","managedFields":[{"f":{"}":"]\""}}],"labels":{"x":"y"}}}"#,
      #"{"metadata":{"managedFields":[],"name":"a","labels":{"x":"y"}}}"#,
      #"{"metadata":{"name":"a","labels":{"x":"y"},"managedFields":null}}"#,
      #"{ "metadata" : { "name" : "a" , "labels" : {"x":"y"} , "managedFields" : [ 1 , 2 ] } }"#,
      #"{"metadata":{"name":"a","labels":{"x":"y"}}}"#,
    ])
  func managedFields(_ text: String) throws {
    let expected = try KubernetesObject(json: [
      "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "a", "labels": ["x": "y"]],
    ])
    #expect(try read(text) == .object(expected))
  }

  @Test("leaves managedFields out where it is the only member")
  func onlyManagedFields() {
    #expect(throws: KubernetesError.malformed("expected an object with metadata.name")) {
      try read(#"{"metadata":{"managedFields":[]}}"#)
    }
  }

  @Test(
    "tells the name of an object that the strict parser refuses",
    arguments: [
      #"{"metadata":{"name":"a","namespace":"n","resourceVersion":"7"},"spec":{"x":9223372036854775807}}"#,
      #"{"spec":{"x":"\u0000"},"metadata":{"name":"a","namespace":"n","resourceVersion":"7"}}"#,
      #"{"metadata":{"annotations":{"x":"\ud800"},"name":"a","namespace":"n","resourceVersion":"7"}}"#,
      #"{"metadata":{"name":"a","namespace":"n","resourceVersion":"7"},"x":1,"x":2}"#,
    ])
  func unreadable(_ text: String) throws {
    guard case .unreadable(let object) = try read(text) else {
      Issue.record("expected an object that can't be read")
      return
    }
    #expect(object.key == ObjectKey(namespace: "n", name: "a"))
    #expect(object.resourceVersion == "7")
  }

  @Test(
    "refuses what has no name",
    arguments: [
      "", "1", "[]", "{}", #"{"metadata":{}}"#, #"{"metadata":{"name":""}}"#, #"{"metadata":{"name":1}}"#, "{",
    ])
  func nameless(_ text: String) {
    #expect(throws: KubernetesError.self) { try read(text) }
  }

  @Test("a list is read item by item: one that can't be read hides no other")
  func list() throws {
    let text = """
      {"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"t"},"items":[
      {"metadata":{"name":"a","namespace":"n","managedFields":[]}}, {"metadata":{"name":"b","namespace":"n"},"x":1e400},
      {"metadata":{"name":"c","namespace":"n"}} ]}
      """
    let page = try ListPage(parsing: Array(text.utf8), of: .pods)
    #expect(page.resourceVersion == "9")
    #expect(page.continuation == "t")
    #expect(page.readings.count == 3)
    guard case .object(let first) = page.readings[0], case .unreadable(let second) = page.readings[1],
      case .object(let third) = page.readings[2]
    else {
      Issue.record("expected two objects and one that can't be read between them")
      return
    }
    #expect([first.name, second.key.name, third.name] == ["a", "b", "c"])
    // Items of a list have neither.
    #expect(first.kind == "Pod" && first.apiVersion == "v1")
  }

  @Test("an empty list may be null, as Go writes it", arguments: ["null", "[]", "[ ]"])
  func emptyList(_ items: String) throws {
    let text = #"{"metadata":{"resourceVersion":"9","continue":""},"items":\#(items)}"#
    let page = try ListPage(parsing: Array(text.utf8), of: .pods)
    #expect(page.readings.isEmpty)
    #expect(page.continuation == nil)
  }

  @Test(
    "refuses what is no list",
    arguments: [
      "", "{}", "[]", #"{"metadata":{},"items":[]}"#, #"{"metadata":{"resourceVersion":"1"},"items":{}}"#,
      #"{"metadata":{"resourceVersion":"1"},"items":[{}]}"#, #"{"metadata":{"resourceVersion":"1"},"items":[1,]}"#,
      #"{"metadata":{"resourceVersion":"1"},"items":[]}x"#, #"{"metadata":{"resourceVersion":"1"},"items":["#,
    ])
  func noList(_ text: String) {
    #expect(throws: KubernetesError.self) { try ListPage(parsing: Array(text.utf8), of: .pods) }
  }

  @Test("reads events")
  func events() throws {
    func event(_ text: String) throws(KubernetesError) -> WatchEvent {
      try WatchEvent(line: Array(text.utf8), of: .pods)
    }
    let object = try KubernetesObject(json: [
      "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "a", "resourceVersion": "5"],
    ])
    let json = #"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","resourceVersion":"5"}}"#
    #expect(try event(#"{"type":"ADDED","object":\#(json)}"#) == .added(object))
    #expect(try event(#"{"object":\#(json),"type":"MODIFIED"}"#) == .modified(object))
    #expect(try event(#"{"type":"DELETED","object":\#(json)}"#) == .deleted(object))
    #expect(
      try event(#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"8"}}}"#)
        == .bookmark(resourceVersion: "8"))
    #expect(try event(#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#) == .expired)
    #expect(throws: KubernetesError.server(status: 500)) {
      try event(#"{"type":"ERROR","object":{"kind":"Status","code":500}}"#)
    }
    for text in ["", "{}", #"{"type":"ADDED"}"#, #"{"type":"OTHER","object":{}}"#, #"{"type":"BOOKMARK","object":{}}"#]
    {
      #expect(throws: KubernetesError.self) { try event(text) }
    }
  }

  @Test("cuts lines however they arrive", arguments: 1...9)
  func lines(_ length: Int) throws {
    let text = Array("abc\n\ndefgh\r\n  \nijk\nrest".utf8)
    var lines = WatchLines(maximumBytes: 8)
    var read: [String] = []
    for start in stride(from: 0, to: text.count, by: length) {
      lines.append(text[start..<min(start + length, text.count)])
      while let line = try lines.next() { read.append(String(decoding: line, as: UTF8.self)) }
    }
    #expect(read == ["abc", "defgh\r", "ijk"])
    #expect(throws: KubernetesError.self) { try lines.end() }
  }

  @Test("refuses a line that is too long, whole or not", arguments: ["123456789", "123456789\n", "1\n123456789"])
  func longLine(_ text: String) {
    var lines = WatchLines(maximumBytes: 8)
    lines.append(Array(text.utf8))
    #expect(throws: KubernetesError.self) {
      while try lines.next() != nil {}
    }
  }

  @Test("knows what an object says of itself")
  func object() throws {
    let owner: JSONValue = [
      "apiVersion": "casa.io/v1alpha1", "kind": "MultiAgentSystem", "name": "m", "uid": "u-1", "controller": true,
      "blockOwnerDeletion": true,
    ]
    let object = try KubernetesObject(json: [
      "metadata": [
        "name": "a", "namespace": "n", "uid": "u-2", "resourceVersion": "3", "generation": 4, "labels": ["x": "y"],
        "ownerReferences": .array([owner, ["kind": "incomplete"]]), "finalizers": ["casa.io/f"],
        "deletionTimestamp": "2026-01-01T00:00:00Z",
      ]
    ])
    #expect(object.generation == 4)
    #expect(object.labels == ["x": "y"])
    #expect(object.controller?.json == owner)
    #expect(object.ownerReferences.count == 1)
    #expect(object.isBeingDeleted)
    #expect(object.finalizers == ["casa.io/f"])
    #expect(OwnerReference(controlledBy: object, of: .secrets)?.uid == "u-2")
  }
}
