import AgentProtocols
import CASACore

@testable import Controller

/// Reads the input as a watch, whole and in pieces.
@Sendable func fuzzWatch(_ bytes: [UInt8]) {
  let whole = events(of: [bytes[...]])
  require(whole == events(of: split(bytes)), "a watch is read the same however it arrives")
  var long = WatchLines(maximumBytes: 16)
  long.append(bytes)
  while let line = try? long.next() { require(line.count <= 16, "a line is bounded") }
}

/// What each line says; the error that ended it last.
private func events(of pieces: [ArraySlice<UInt8>]) -> [Result<WatchEvent, KubernetesError>] {
  var lines = WatchLines()
  var read: [Result<WatchEvent, KubernetesError>] = []
  for piece in pieces {
    lines.append(piece)
    do throws(KubernetesError) {
      while let line = try lines.next() {
        require(!line.contains(UInt8(ascii: "\n")), "a line is one line")
        do throws(KubernetesError) {
          let event = try WatchEvent(line: line, of: .pods)
          read.append(.success(event))
          switch event {
          case .added(let object), .modified(let object), .deleted(let object): requireSound(object)
          case .unreadable(let object), .gone(let object):
            require(!object.key.name.isEmpty, "what can't be read has a name")
          case .bookmark, .expired: break
          }
          // Where the strict parser takes the line, the outline read the same of it.
          guard let value = try? JSONValue(parsing: line) else { continue }
          if case .bookmark(let version) = event {
            require(
              value["object"]?["metadata"]?["resourceVersion"]?.string == version, "the version is the bookmark's")
          }
        } catch {
          read.append(.failure(error))
        }
      }
    } catch {
      read.append(.failure(error))
      return read
    }
  }
  return read
}

/// Reads the input as a page of a list. What is read of each item is what the strict parser reads of the whole.
@Sendable func fuzzObjectList(_ bytes: [UInt8]) {
  let outline = JSONOutline(bytes)
  if let root = try? outline.root(), bytes[root].first == UInt8(ascii: "{"), let members = try? outline.members(root) {
    for member in members {
      require(root.contains(member.name.lowerBound) && root.contains(member.value.lowerBound), "parts are within")
      require(member.name.upperBound < member.value.lowerBound, "a value follows its name")
    }
    if let value = try? JSONValue(parsing: bytes) {
      require(value.object?.count == members.count, "the outline has each member of what is JSON")
    }
  }
  guard let page = try? ListPage(parsing: bytes, of: .pods) else { return }
  let whole = try? JSONValue(parsing: bytes)
  for (index, reading) in page.readings.enumerated() {
    switch reading {
    case .object(let object):
      requireSound(object)
      guard let item = whole?["items"]?.array?[index] else { continue }
      var expected = item.object ?? [:]
      if var metadata = expected["metadata"]?.object {
        metadata["managedFields"] = nil
        expected["metadata"] = .object(metadata)
      }
      var found = object.json.object ?? [:]
      if expected["kind"] == nil { found["kind"] = nil }
      if expected["apiVersion"] == nil { found["apiVersion"] = nil }
      // Names with escapes are left in: nobody writes `managedFields` so.
      if var metadata = found["metadata"]?.object {
        metadata["managedFields"] = nil
        found["metadata"] = .object(metadata)
      }
      require(expected == found, "an item is read as within the whole, without managedFields")
    case .unreadable(let object):
      require(!object.key.name.isEmpty, "what can't be read has a name")
      require(whole == nil, "what is JSON can be read")
    }
  }
}

private func requireSound(_ object: KubernetesObject) {
  require(!object.name.isEmpty, "an object has a name")
  require(object.json["metadata"]?["name"]?.string == object.name, "the key is the object's")
  require((try? KubernetesObject(json: object.json)) == object, "an object is read the same each time")
  // Whatever the name is, its path leads to it or nowhere.
  guard let path = try? KubernetesResource.pods.path(namespace: object.namespace ?? "n", name: object.name) else {
    return
  }
  require(path.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "?") }, "a path is a path")
  require(path.split(separator: "/", omittingEmptySubsequences: false).count == 7, "a name is one segment")
}
