import CASACore
import Testing

@testable import Doctor

@Suite("The doctor")
struct ExaminationTests {
  static func machine() -> MachineFacts {
    var facts = MachineFacts()
    facts.kernelRelease = "6.1.0-13-amd64"
    facts.architecture = "x86_64"
    (facts.hasBTF, facts.hasCgroup2, facts.hasBPFFileSystem, facts.hasModel) = (true, true, true, true)
    facts.capabilities = 1 << 12 | 1 << 38 | 1 << 39
    facts.maximumUserNamespaces = 0
    facts.packetFilters = ["/usr/sbin/iptables-nft"]
    facts.envoy = "/usr/bin/envoy"
    facts.isClockKept = true
    return facts
  }

  @Test("finds nothing wrong with a machine that has all")
  func healthyMachine() {
    let findings = MachineExamination.findings(Self.machine())
    #expect(findings.allSatisfy { $0.verdict == .ok && $0.remedy.isEmpty })
    #expect(Set(findings.map(\.check)).count == findings.count)
  }

  @Test(
    "says of each thing that a machine lacks what to do",
    arguments: [
      ("machine.kernel", Finding.Verdict.failed), ("machine.btf", .failed), ("machine.cgroup2", .failed),
      ("machine.bpffs", .failed), ("machine.capabilities", .warning), ("machine.user-namespaces", .warning),
      ("machine.iptables", .warning), ("machine.envoy", .failed), ("machine.filter", .failed),
      ("machine.model", .warning), ("machine.clock", .warning), ("machine.architecture", .warning),
    ])
  func lacking(_ check: String, _ verdict: Finding.Verdict) throws {
    var facts = Self.machine()
    switch check {
    case "machine.kernel": facts.kernelRelease = "5.8.18"
    case "machine.btf": facts.hasBTF = false
    case "machine.cgroup2": facts.hasCgroup2 = false
    case "machine.bpffs": facts.hasBPFFileSystem = false
    case "machine.capabilities": facts.capabilities = 1 << 12
    case "machine.user-namespaces": facts.maximumUserNamespaces = 100
    case "machine.iptables": facts.packetFilters = []
    case "machine.envoy": facts.envoy = nil
    case "machine.filter": facts.filterProblem = "missing"
    case "machine.model": facts.hasModel = false
    case "machine.clock": facts.isClockKept = false
    default: facts.architecture = "aarch64"
    }
    let findings = MachineExamination.findings(facts).filter { $0.verdict != .ok }
    let finding = try #require(findings.first)
    #expect(findings.count == 1 && finding.check == check && finding.verdict == verdict && !finding.remedy.isEmpty)
  }

  @Test(
    "reads releases of kernels",
    arguments: [
      ("6.1.0-13-amd64", Finding.Verdict.ok), ("5.17", .ok), ("5.16.99", .warning), ("5.9.0", .warning),
      ("5.8.18", .failed), ("4.19.0", .failed), ("", .failed), ("x.y", .failed),
    ])
  func releases(_ release: String, verdict: Finding.Verdict) {
    var facts = Self.machine()
    facts.kernelRelease = release
    #expect(MachineExamination.findings(facts).first?.verdict == verdict)
  }

  // MARK: Clusters

  static func named(_ name: String, in namespace: String? = nil, _ members: [String: JSONValue] = [:]) -> JSONValue {
    var metadata: [String: JSONValue] = ["name": .string(name)]
    metadata["namespace"] = namespace.map(JSONValue.string)
    return .object(members.merging(["metadata": .object(metadata)]) { own, _ in own })
  }

  static func hook(_ name: String, policy: String = "Fail", bundle: String = "Zm9v") -> JSONValue {
    named(
      name,
      [
        "webhooks": [
          [
            "name": "pods.casa.io", "failurePolicy": .string(policy),
            "clientConfig": ["caBundle": .string(bundle), "service": ["namespace": "casa-system"]],
          ]
        ]
      ])
  }

  static func cluster() -> ClusterFacts {
    var facts = ClusterFacts()
    (facts.major, facts.minor, facts.clockDifference) = ("1", "31+", 1)
    let served: [String: JSONValue] = [
      "spec": ["versions": [["name": "v1alpha1", "served": true]]],
      "status": ["conditions": [["type": "Established", "status": "True"]]],
    ]
    facts.definitions = ["multiagentsystems.casa.io", "casapolicies.casa.io"].map { named($0, served) }
    facts.mutatingWebhooks = [hook("casa")]
    facts.validatingWebhooks = [hook("casa")]
    facts.namespaces = [
      ["metadata": ["name": "bank", "labels": ["casa.io/injection": "enabled"]]], ["metadata": ["name": "other"]],
    ]
    facts.pods = [pod("agent-1", containers: "app", "casa-sidecar"), named("free", in: "other")]
    facts.parts = [named("casa-runtime", in: "casa-system", ["spec": ["replicas": 2], "status": ["readyReplicas": 2]])]
    facts.now = Timestamp(milliseconds: 1_790_000_030_000)
    facts.lease = [
      "spec": [
        "holderIdentity": "casa-controller-0",
        "renewTime": .string(Timestamp(milliseconds: 1_790_000_025_000).rfc3339),
      ]
    ]
    facts.systems = [
      named(
        "banking", in: "bank",
        ["spec": ["apps": [["kubernetesWorkloadName": "agent"]]], "status": ["phase": "Active"]])
    ]
    facts.policies = [named("agent", in: "bank", ["status": ["phase": "Active"]])]
    return facts
  }

  static func pod(_ name: String, workload: String = "agent", containers: String...) -> JSONValue {
    [
      "metadata": ["name": .string(name), "namespace": "bank", "labels": ["casa.io/workload": .string(workload)]],
      "spec": ["containers": .array(containers.map { ["name": .string($0)] })], "status": ["phase": "Running"],
    ]
  }

  @Test("finds nothing wrong with a cluster that has all")
  func healthyCluster() {
    let findings = ClusterExamination.findings(Self.cluster())
    #expect(findings.allSatisfy { $0.verdict == .ok }, "\(findings.filter { $0.verdict != .ok })")
  }

  static let ills: [(String, Finding.Verdict, @Sendable (inout ClusterFacts) -> Void)] = [
    ("cluster.version", .warning, { $0.minor = "27" }), ("cluster.version", .warning, { $0.minor = "28" }),
    ("cluster.version", .failed, { $0.major = "" }), ("cluster.clock", .warning, { $0.clockDifference = -10 }),
    ("cluster.clock", .failed, { $0.clockDifference = 40 }),
    ("cluster.crds", .failed, { $0.definitions?.removeLast() }),
    ("cluster.webhook-mutating", .failed, { $0.mutatingWebhooks = [] }),
    ("cluster.webhook-mutating", .failed, { $0.mutatingWebhooks = [hook("casa", policy: "Ignore")] }),
    ("cluster.webhook-validating", .failed, { $0.validatingWebhooks = [hook("casa", bundle: "")] }),
    ("cluster.parts", .failed, { $0.parts = [] }),
    ("cluster.parts", .failed, { $0.parts?.append(named("casa-injector", ["spec": ["replicas": 1], "status": [:]])) }),
    ("cluster.controller", .failed, { $0.lease = nil }),
    ("cluster.controller", .failed, { $0.now = Timestamp(milliseconds: 1_790_000_100_000) }),
    ("cluster.pods", .failed, { $0.pods?.append(pod("bare", containers: "app")) }),
    ("cluster.workloads", .failed, { $0.pods?.append(pod("x", workload: "stranger", containers: "casa-sidecar")) }),
    ("cluster.systems", .failed, { $0.systems?.append(named("bad", in: "bank", ["status": ["phase": "Failed"]])) }),
    ("cluster.policies", .warning, { $0.policies?.append(named("new", in: "bank")) }),
    ("cluster.crds", .skipped, { $0.definitions = nil }),
  ]

  @Test("says of each thing that is wrong with a cluster what to do", arguments: ills.indices)
  func ill(_ index: Int) {
    var facts = Self.cluster()
    Self.ills[index].2(&facts)
    let findings = ClusterExamination.findings(facts).filter { $0.verdict != .ok }
    #expect(findings.map(\.check) == [Self.ills[index].0] && findings.first?.verdict == Self.ills[index].1)
  }

  @Test("sees a system's namespace that nobody labelled")
  func unlabelled() {
    var facts = Self.cluster()
    facts.systems?.append(Self.named("lost", in: "other", ["status": ["phase": "Active"]]))
    let findings = ClusterExamination.findings(facts).filter { $0.verdict != .ok }
    #expect(findings.map(\.check) == ["cluster.injection"] && findings[0].message.contains("other"))
  }

  @Test("skips, and never passes, what it may not read")
  func forbidden() {
    var facts = ClusterFacts()
    (facts.major, facts.minor) = ("1", "31")
    let findings = ClusterExamination.findings(facts)
    #expect(!findings.contains { $0.verdict == .ok && $0.check != "cluster.version" })
  }
}
