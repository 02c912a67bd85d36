public import CASACore
import Foundation
import NodeGuard
public import Sidecar

/// The node guard around a local system's apps: for each a cgroup, out of which the kernel lets nothing go but to the
/// app's own sidecar.
public struct LocalNodeGuard: Sendable, Hashable {
  /// Where cgroup v2 is mounted.
  let cgroupRoot: String
  /// The cgroup that holds the apps', such as `/casa-up/banking`.
  let parent: String
  /// Where the guard's programs are pinned.
  let pins: String
  /// Where it says how it is.
  let metrics: ListenAddress

  /// - Parameters:
  ///   - parent: below the root of cgroup v2; nil for one by the system's name.
  ///   - pins: in a BPF file system; nil for one by the system's name.
  /// - Throws: `ConfigurationError` when this machine has no cgroup v2, or `parent` is no place in it.
  public init(
    mas: Name, firstPort: Int, parent: String? = nil, pins: String? = nil
  ) throws(ConfigurationError) {
    do throws(CgroupHierarchy.Failure) {
      #if os(Linux)
        cgroupRoot = try CgroupHierarchy.current().mountPoint
      #else
        throw CgroupHierarchy.Failure(description: "the node guard needs Linux")
      #endif
    } catch { throw ConfigurationError("\(error)") }
    self.parent = parent ?? "/casa-up/\(mas)"
    self.pins = pins ?? "\(PinDirectory.standard.path)-up-\(mas)"
    metrics = .loopback(LocalPorts(first: firstPort).guardMetrics)
    let segments = self.parent.split(separator: "/", omittingEmptySubsequences: false)
    guard segments.first == "", segments.count > 1,
      segments.dropFirst().allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." })
    else { throw ConfigurationError("expected a cgroup such as /casa-up, got \(self.parent)") }
  }

  /// Taken apart from the machine, for tests.
  init(cgroupRoot: String, parent: String, pins: String, metrics: ListenAddress) {
    (self.cgroupRoot, self.parent, self.pins, self.metrics) = (cgroupRoot, parent, pins, metrics)
  }

  func cgroup(of app: Name) -> String { "\(parent)/\(app)" }
  func folder(of app: Name) -> String { cgroupRoot + cgroup(of: app) }

  /// The guard's policy, as `NodePolicy` reads it: an app reaches the addresses of its own sidecar, is reached on its
  /// own port from this machine, and that is all. It asks no resolver, since its sidecar does.
  func policy(of system: LocalSystem, ids: [Name: AppID]) -> JSONValue {
    let workloads = system.apps.map { app in
      var members: [String: JSONValue] = ["name": .string(app.name.text), "cgroup": .string(cgroup(of: app.name))]
      members["app_id"] = ids[app.name].map { .string($0.rawValue) }
      members["outbound"] = .array(
        app.calls.compactMap { call in
          guard case .tcp(let host, let port) = call.listen else { return nil }
          return ["to": .string(host), "ports": .number(Double(port))]
        })
      members["inbound"] = .array(
        (app.entrance?.app ?? app.usersCall).map { own in
          [["from": "127.0.0.0/8", "ports": .number(Double(own.port))]]
        } ?? [])
      return JSONValue.object(members)
    }
    return ["guarded": [.string(parent)], "workloads": .array(workloads)]
  }

  /// - Throws: `LocalModeError`
  func makeCgroups(for system: LocalSystem) throws(LocalModeError) {
    for app in system.apps {
      do {
        try FileManager.default.createDirectory(
          atPath: folder(of: app.name), withIntermediateDirectories: true)
      } catch {
        throw LocalModeError(
          "the cgroup \(folder(of: app.name)) can't be made: \(error.localizedDescription); --node-guard needs root")
      }
    }
  }

  /// Apps in whose cgroups something still runs.
  func occupied(_ system: LocalSystem) -> [Name] {
    system.apps.map(\.name).filter { name in
      let events = try? String(contentsOfFile: folder(of: name) + "/cgroup.events", encoding: .utf8)
      return events?.contains("populated 1") ?? false
    }
  }

  /// Removes the cgroups that are empty; the kernel keeps the others.
  func removeCgroups(of system: LocalSystem) {
    for app in system.apps { rmdir(folder(of: app.name)) }
    rmdir(cgroupRoot + parent)
  }
}
