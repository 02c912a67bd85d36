public import CustomResources
import Foundation
public import Sidecar

/// The files from which `casa up -f` takes custom resources.
public enum ResourceFiles {
  private static let extensions: Set = ["yaml", "yml", "json"]
  private static let maximumFiles = 1000

  /// Reads all objects of CASA's in `paths`, in order: files, folders (their files, not their folders), and `-` for
  /// standard input. Objects of other groups are passed over, as files hold both.
  /// - Parameter namespace: of objects that name none.
  /// - Throws: `ConfigurationError` that begins with the file's path.
  public static func read(_ paths: [String], namespace: String) throws(ConfigurationError) -> [Resource] {
    var resources: [Resource] = []
    for path in paths {
      for file in try files(path) {
        let text = try text(of: file)
        do throws(ResourceError) {
          resources += try Resource.read(yaml: text, defaultNamespace: namespace, othersToo: true)
        } catch {
          throw ConfigurationError("\(file == "-" ? "standard input" : file): \(error)")
        }
      }
    }
    return resources
  }

  private static func files(_ path: String) throws(ConfigurationError) -> [String] {
    var isFolder: ObjCBool = false
    guard path != "-", FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
      return [path]
    }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    let files = names.filter { name in
      name.split(separator: ".").last.map { extensions.contains(String($0)) } ?? false
    }
    guard (1...maximumFiles).contains(files.count) else {
      throw ConfigurationError("\(path): expected 1 to \(maximumFiles) files .yaml, .yml or .json, got \(files.count)")
    }
    return files.sorted().map { path + "/" + $0 }
  }

  private static func text(of path: String) throws(ConfigurationError) -> String {
    guard let file = path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path) else {
      throw ConfigurationError("\(path) can't be read")
    }
    var bytes = Data()
    // A pipe gives what it has.
    while bytes.count <= Resource.maximumFileBytes {
      do {
        guard let part = try file.read(upToCount: Resource.maximumFileBytes + 1 - bytes.count), !part.isEmpty else {
          break
        }
        bytes += part
      } catch { throw ConfigurationError("\(path) can't be read: \(error.localizedDescription)") }
    }
    guard bytes.count <= Resource.maximumFileBytes, let text = String(data: bytes, encoding: .utf8) else {
      throw ConfigurationError("\(path) must be UTF-8 of at most \(Resource.maximumFileBytes) bytes")
    }
    return text
  }
}
