import Foundation
import Testing

@testable import NodeGuard

@Suite("The hierarchy of cgroups")
struct CgroupHierarchyTests {
  private func mountPoint(_ text: String) throws -> String { try CgroupHierarchy(mountInfo: text).mountPoint }

  @Test("is found where version 2 is mounted alone, or beside version 1")
  func found() throws {
    #expect(
      try mountPoint(
        "24 30 0:22 / /proc rw - proc proc rw\n29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n")
        == "/sys/fs/cgroup")
    #expect(
      try mountPoint(
        """
        31 30 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
        32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
        """) == "/sys/fs/cgroup/unified")
    #expect(try mountPoint("1 2 0:3 / /my\\040cgroups rw shared:1 master:2 - cgroup2 none rw") == "/my cgroups")
    #expect(
      try mountPoint("1 2 0:3 / /other rw - cgroup2 none rw\n1 2 0:3 / /sys/fs/cgroup rw - cgroup2 none rw")
        == "/sys/fs/cgroup")
  }

  @Test("is not taken from a part of it, and its absence says what to do")
  func absent() {
    func error(_ text: String) -> String {
      do {
        return try CgroupHierarchy(mountInfo: text).mountPoint
      } catch {
        return error.description
      }
    }
    #expect(error("").contains("cgroup v2 is not mounted; run"))
    #expect(error("1 2 0:3 / /cgroup2 rw - tmpfs cgroup2 rw").contains("not mounted"))
    #expect(error("1 2 0:3 /docker/a /sys/fs/cgroup rw - cgroup2 none rw").contains("only a part"))
    for text in [
      "-", "1 2 3 4 5 6 -", "1 2 3 4 5 6 - ", "1 2 3 / /x", "1 2 3 / /x rw cgroup2", "\\", "1 2 3 / \\0 rw - cgroup2 a",
    ] {
      _ = error(text)
    }
  }

  @Test("names each cgroup by the inode of its directory")
  func listing() throws {
    let directory = try TemporaryDirectory()
    try directory.make("/a/b/c")
    try directory.make("/d")
    try Data().write(to: URL(fileURLWithPath: directory.path + "/cgroup.procs"))
    let hierarchy = CgroupHierarchy(mountPoint: directory.path)
    let all = try hierarchy.all()
    #expect(all.map(\.path) == ["/", "/a", "/d", "/a/b", "/a/b/c"])
    #expect(all.map(\.depth) == [0, 1, 1, 2, 3])
    for cgroup in all {
      let attributes = try FileManager.default.attributesOfItem(atPath: directory.path + cgroup.path)
      #expect((attributes[.systemFileNumber] as? NSNumber)?.uint64Value == cgroup.id)
      #expect(try hierarchy.id(of: cgroup.path) == cgroup.id)
    }
    #expect(try hierarchy.all(below: "/a").map(\.path) == ["/a", "/a/b", "/a/b/c"])
    #expect(try hierarchy.children(of: "/").map(\.path) == ["/a", "/d"])
    #expect(try hierarchy.id(of: "/none") == nil)
    #expect(try hierarchy.id(of: "/cgroup.procs") == nil)
    #expect(try hierarchy.children(of: "/none").isEmpty)
    #expect(try hierarchy.all(below: "/none").isEmpty)
  }

  @Test("is listed as deep as the kernel looks")
  func depth() throws {
    let directory = try TemporaryDirectory()
    try directory.make((0..<20).map { "/\($0)" }.joined())
    #expect(try CgroupHierarchy(mountPoint: directory.path).all().map(\.depth).max() == CgroupPath.maximumDepth)
  }
}

private let uid = "0a1b2c3d-1111-2222-3333-444455556666"
private let uidOfSlice = uid.replacing("-", with: "_")
private let container = String(repeating: "ab", count: 32)
private let other = String(repeating: "cd", count: 32)

@Suite("A pod's cgroup")
struct PodCgroupTests {
  @Test("is known by its path, whatever driver, quality of service and runtime")
  func known() throws {
    for root in ["", "/docker/\(other)", "/system.slice/docker-\(other).scope"] {
      for quality in ["burstable", "besteffort", nil] {
        for (kubelet, prefix) in [("", ""), ("/kubelet.slice", "kubelet-")] {
          let base = "\(prefix)kubepods"
          let pod =
            root + kubelet + "/\(base).slice" + (quality.map { "/\(base)-\($0).slice" } ?? "")
            + "/\(base)\(quality.map { "-\($0)" } ?? "")-pod\(uidOfSlice).slice"
          #expect(PodCgroup(path: pod)?.podUID == uid, "\(pod)")
          #expect(try #require(PodCgroup(path: pod)).containerID == nil)
          for leaf in ["cri-containerd-\(container).scope", "crio-\(container).scope", "docker-\(container).scope"] {
            #expect(PodCgroup(path: pod + "/" + leaf)?.containerID == container, "\(pod)/\(leaf)")
          }
        }
        for kubelet in ["", "/kubelet"] {
          let pod = root + kubelet + "/kubepods" + (quality.map { "/\($0)" } ?? "") + "/pod\(uid)"
          #expect(PodCgroup(path: pod)?.podUID == uid, "\(pod)")
          for leaf in [container, "crio-\(container)"] {
            #expect(PodCgroup(path: pod + "/" + leaf)?.containerID == container, "\(pod)/\(leaf)")
          }
        }
      }
    }
    let fromFile = String(repeating: "0f", count: 16)
    #expect(PodCgroup(path: "/kubepods.slice/kubepods-pod\(fromFile).slice")?.podUID == fromFile)
  }

  @Test("is nothing that only looks like one")
  func others() {
    let pod = "/kubepods/pod\(uid)"
    for path in [
      "", "/", "kubepods/pod\(uid)", "/kubepods", "/kubepods.slice", "/kubepods/burstable", "/kubepods/podx",
      "/kubepods/pod",
      "\(pod)/", "\(pod)/x", "\(pod)/\(container)/", "\(pod)/\(container)/init.scope",
      "\(pod)/\(container)/kubepods/pod\(uid)/\(other)",
      "\(pod)/crio-conmon-\(container).scope", "\(pod)/cri-containerd-\(container)", "/user.slice\(pod)",
      "/docker/x\(pod)",
      "/system.slice/ssh.service\(pod)",
      "/kubepods.slice/kubepods-burstable.slice/kubepods-besteffort-pod\(uidOfSlice).slice",
      "/kubepods.slice/kubepods-pod\(uid).slice", "/kubepods/pod\(uidOfSlice)", "/kubepods/pod\(uid.uppercased())",
      "/kubelet.slice/kubepods.slice/kubepods-pod\(uidOfSlice).slice", "/kubepods/burstable/besteffort/pod\(uid)",
    ] {
      #expect(PodCgroup(path: path) == nil, "\(path)")
    }
  }
}

@Suite("Whose a cgroup is")
struct WorkloadResolverTests {
  private let policy: NodePolicy
  private let pod = "/kubepods.slice/kubepods-pod\(uidOfSlice).slice"
  private let bank = PodMetadata(
    uid: uid, namespace: "shop", name: "bank-7", containers: [container: "server", other: "helper"])

  init() throws {
    policy = try NodePolicy(
      parsing: Array(
        """
        guarded: [/kubepods.slice, /gone.slice]
        workloads:
        - {name: agent, cgroup: /casa/agent}
        - {name: server, pod: {namespace: shop, name: bank-*, container: server}}
        - {name: pods, pod: {namespace: shop, name: "bank-?"}}
        - {name: unused, pod: {uid: x}}
        - {name: elsewhere, cgroup: /casa/none}
        """.utf8))
  }

  private func resolve(_ paths: [String], _ pods: [PodMetadata]) -> WorkloadResolver.Resolution {
    let cgroups = paths.enumerated().map { Cgroup(id: UInt64($0 + 1), path: $1) }
    return WorkloadResolver.resolve(policy, cgroups: cgroups, pods: pods)
  }

  @Test("follows from its path, or from its pod and container")
  func resolved() {
    let found = resolve(
      [
        "/", "/casa", "/casa/agent", "/kubepods.slice", pod, "\(pod)/cri-containerd-\(container).scope",
        "\(pod)/cri-containerd-\(other).scope",
      ],
      [bank])
    #expect(
      found.workloads == [
        3: WorkloadID(name: "agent"), 4: .unnamed, 5: WorkloadID(name: "pods"), 6: WorkloadID(name: "server"),
      ])
    #expect(found.unmatched == ["unused", "elsewhere"])
    #expect(found.missing.map(\.text) == ["/gone.slice"])
    #expect(found.contested.isEmpty && found.unknownPods.isEmpty)
  }

  @Test("is unknown without the pod, which is then what the guarded cgroup above it says")
  func unknownPod() {
    let found = resolve(["/kubepods.slice", pod], [])
    #expect(found.workloads == [1: .unnamed])
    #expect(found.unknownPods == [pod])
    let renamed = PodMetadata(uid: uid, namespace: "other", name: "bank-7", containers: [container: "server"])
    #expect(resolve([pod, "\(pod)/crio-\(container).scope"], [renamed]).workloads.isEmpty)
  }

  @Test("is nobody's when two workloads claim it")
  func contested() throws {
    let policy = try NodePolicy(
      parsing: Array(
        "workloads: [{name: a, pod: {namespace: shop, name: bank-*}}, {name: b, pod: {uid: \(uid)}}]".utf8))
    let found = WorkloadResolver.resolve(policy, cgroups: [Cgroup(id: 9, path: pod)], pods: [bank])
    #expect(found.workloads == [9: .unnamed])
    #expect(found.contested == [pod: ["a", "b"]])
    #expect(found.unmatched.isEmpty)
  }

  @Test("globs match as in a shell, in bounded time")
  func globs() {
    func matches(_ text: String, _ pattern: String) -> Bool {
      PodSelector.matches(Array(text.utf8), pattern: Array(pattern.utf8))
    }
    for (text, pattern) in [
      ("a", "a"), ("", ""), ("", "*"), ("abc", "*"), ("abc", "a*c"), ("abcbc", "a*bc"), ("ab", "a?"), ("aab", "*ab"),
    ] {
      #expect(matches(text, pattern), "\(text) \(pattern)")
    }
    for (text, pattern) in [("a", ""), ("", "?"), ("ab", "a"), ("ab", "b*"), ("abc", "a*b"), ("a", "a?")] {
      #expect(!matches(text, pattern), "\(text) \(pattern)")
    }
    #expect(!matches(String(repeating: "a", count: 2000), String(repeating: "a*", count: 100) + "b"))
  }

  @Test("pods come from a file, whose errors name the pod")
  func podFile() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/pods.json"
    func read(_ text: String) async throws -> [PodMetadata] {
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
      return try await PodDirectoryFile(path: path).pods()
    }
    #expect(
      try await read(
        #"{"pods":[{"uid":"u","namespace":"n","name":"p","more":1,"containers":[{"id":"containerd://\#(container)","name":"c"}]}]}"#
      )
        == [PodMetadata(uid: "u", namespace: "n", name: "p", containers: [container: "c"])])
    for text in [
      "", "[]", "{}", #"{"pods":[{"uid":"u"}]}"#,
      #"{"pods":[{"uid":"u","namespace":"n","name":"p","containers":[{}]}]}"#,
    ] {
      await #expect(throws: PodDirectoryFile.Failure.self, "\(text)") { try await read(text) }
    }
    await #expect(throws: PodDirectoryFile.Failure.self) { try await PodDirectoryFile(path: path + "x").pods() }
  }
}
