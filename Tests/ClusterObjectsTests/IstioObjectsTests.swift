import CASACore
import ClusterObjects
import CustomResources
import Testing

@Suite("Istio's objects")
struct IstioObjectsTests {
  private func objects(
    _ texts: [String] = [Banking.system] + Banking.policies, revision: String? = nil
  ) throws -> [ClusterObject] { try Banking.objects(.istio, texts, revision: revision) }

  private func spec(_ kind: String, _ name: String, _ objects: [ClusterObject]) throws -> JSONValue {
    try #require(objects.first { $0.kind == kind && $0.name == name }?.json["spec"])
  }

  private func patches(_ context: String, _ kind: String) throws -> [JSONValue] {
    let filter = try spec("EnvoyFilter", "casa-workload-agent", try objects())
    return try #require(filter["configPatches"]?.array).filter {
      $0["match"]?["context"]?.string == context && $0["applyTo"]?.string == kind
    }
  }

  @Test("are of kinds that the controller looks after", arguments: ClusterSettings.Mode.allCases)
  func kinds(mode: ClusterSettings.Mode) throws {
    let kinds = ClusterObjects.kinds(ClusterSettings(mode: mode)).map { "\($0.apiVersion) \($0.kind)" }
    let written = Set(try Banking.objects(mode).map { "\($0.apiVersion) \($0.kind)" })
    #expect(written == Set(kinds))
  }

  @Test("ask about every request that enters, before anything else looks at it, and let none in unasked")
  func inbound() throws {
    let patches = try patches("SIDECAR_INBOUND", "HTTP_FILTER")
    #expect(patches.map { $0["patch"]?["operation"] } == ["INSERT_FIRST"])
    let filter = try #require(patches[0]["patch"]?["value"]?["typed_config"])
    #expect(filter["failure_mode_allow"] == false)
    #expect(filter["with_request_body"]?["allow_partial_message"] == false)
    #expect(filter["encode_raw_headers"] == true)
    #expect(
      filter["grpc_service"]?["envoy_grpc"]?["cluster_name"]
        == "outbound|9191||casa-authorize-banking.bank.svc.cluster.local")
    #expect(
      filter["grpc_service"]?["initial_metadata"] == [
        ["key": "x-casa-sidecar-key", "value": "%ENVIRONMENT(CASA_SIDECAR_KEY)%"],
        ["key": "x-casa-listener", "value": "ingress"],
      ])
  }

  @Test("ask about every request that leaves, read marked answers, and take the mark out, in this order")
  func outbound() throws {
    let filters = try patches("SIDECAR_OUTBOUND", "HTTP_FILTER").compactMap { $0["patch"]?["value"]?["name"]?.string }
    // Each is put before those that stand there already.
    #expect(filters.reversed() == ["envoy.filters.http.ext_authz", "casa.marked_answers", "casa.unmarking"])
  }

  @Test("close what is not HTTP, in both directions", arguments: ["SIDECAR_INBOUND", "SIDECAR_OUTBOUND"])
  func closing(context: String) throws {
    let patch = try #require(
      try patches(context, "NETWORK_FILTER").first { $0["patch"]?["operation"] == "REPLACE" })
    #expect(
      patch["match"]?["listener"]?["filterChain"]?["filter"]?["name"] == "envoy.filters.network.tcp_proxy")
    #expect(patch["patch"]?["value"]?["name"] == "casa.closing")
  }

  @Test("concern the workload's pods only")
  func selection() throws {
    let objects = try objects()
    for kind in ["EnvoyFilter", "Sidecar"] {
      let spec = try spec(kind, "casa-workload-agent", objects)
      #expect(spec["workloadSelector"] == ["labels": ["casa.io/workload": "agent"]])
    }
  }

  @Test("cut a workload's registry down to what it may call")
  func registry() throws {
    let objects = try objects()
    let agent = try spec("Sidecar", "casa-workload-agent", objects)
    #expect(agent["outboundTrafficPolicy"] == ["mode": "REGISTRY_ONLY"])
    #expect(
      agent["egress"] == [
        [
          "hosts": [
            "./casa-authorize-banking.bank.svc.cluster.local", "bank/ledger.bank.svc.cluster.local", "./api.openai.com",
          ]
        ]
      ])
    let ledger = try spec("Sidecar", "casa-workload-ledger", objects)
    #expect(ledger["egress"] == [["hosts": ["./casa-authorize-banking.bank.svc.cluster.local"]]])
  }

  @Test("let calls in at the app's port only, and none to a client")
  func ports() throws {
    let objects = try objects()
    let agent = try spec("AuthorizationPolicy", "casa-workload-agent", objects)
    #expect(agent["action"] == "DENY")
    #expect(agent["rules"] == [["to": [["operation": ["notPorts": ["8100"]]]]]])
    let web = try spec("AuthorizationPolicy", "casa-workload-web", objects)
    #expect(web["action"] == "ALLOW" && web["rules"] == nil)
  }

  @Test("keep the paths of a workload's requests out of the mesh's access logs")
  func accessLogs() throws {
    let objects = try objects()
    for workload in ["web", "agent", "ledger"] {
      let telemetry = try spec("Telemetry", "casa-workload-\(workload)", objects)
      #expect(telemetry["selector"] == ["matchLabels": ["casa.io/workload": .string(workload)]])
      #expect(telemetry["accessLogging"] == [["disabled": true]])
    }
  }

  @Test("lead to the LLM by TLS that names it, though the app speaks plain HTTP")
  func llm() throws {
    let objects = try objects()
    let entry = try spec("ServiceEntry", "casa-llm-banking", objects)
    #expect(entry["hosts"] == ["api.openai.com"] && entry["exportTo"] == ["."])
    #expect(entry["ports"]?.array?.map { $0["number"] } == [80, 443])
    #expect(entry["ports"]?.array?.allSatisfy { $0["targetPort"] == 443 && $0["protocol"] == "HTTP" } == true)
    let rule = try spec("DestinationRule", "casa-llm-banking", objects)
    #expect(
      rule["trafficPolicy"]?["tls"] == [
        "mode": "SIMPLE", "sni": "api.openai.com", "subjectAltNames": ["api.openai.com"],
        "caCertificates": "/etc/ssl/certs/ca-certificates.crt",
      ])
  }

  @Test("give the authorization service a name that is one label, and no other system's")
  func authorizeNames() throws {
    let names = try ["a.b", "a-b", "a" + String(repeating: "x", count: 60)].map { name in
      let text = Banking.system.replacing("{name: banking,", with: "{name: \(name),")
      return try #require(try objects([text]).first { $0.kind == "Service" }?.name)
    }
    #expect(Set(names).count == 3)
    #expect(names.allSatisfy { Name($0) != nil && $0.hasPrefix("casa-authorize-") })
  }

  @Test("run one authorization service for a system, which takes calls by mutual TLS from its namespace only")
  func authorize() throws {
    let objects = try objects(revision: "r1").filter {
      $0.name == "casa-authorize-banking" && $0.kind != "NetworkPolicy"
    }
    #expect(
      objects.map(\.kind) == [
        "ServiceAccount", "Service", "Deployment", "PeerAuthentication", "AuthorizationPolicy", "DestinationRule",
      ])
    #expect(try spec("PeerAuthentication", "casa-authorize-banking", objects)["mtls"] == ["mode": "STRICT"])
    let policy = try spec("AuthorizationPolicy", "casa-authorize-banking", objects)
    #expect(policy["rules"]?[0]?["from"] == [["source": ["namespaces": ["bank"]]]])
    let template = try #require(try spec("Deployment", "casa-authorize-banking", objects)["template"])
    #expect(template["metadata"]?["annotations"] == ["casa.io/revision": "r1"])
    #expect(template["metadata"]?["labels"]?["sidecar.istio.io/inject"] == "true")
    #expect(template["metadata"]?["labels"]?["casa.io/workload"] == nil)
    let container = try #require(template["spec"]?["containers"]?[0])
    #expect(
      container["args"] == [
        "authorize", "/etc/casa/agent/workload.yaml", "/etc/casa/ledger/workload.yaml", "/etc/casa/web/workload.yaml",
      ])
    #expect(container["securityContext"]?["allowPrivilegeEscalation"] == false)
    #expect(template["spec"]?["securityContext"]?["runAsNonRoot"] == true)
    // Istio leaves the traffic of this user alone.
    #expect(template["spec"]?["securityContext"]?["runAsUser"] != 1337)
    #expect(
      template["spec"]?["volumes"]?.array?.map { $0["secret"]?["secretName"] } == [
        "casa-workload-agent", "casa-workload-ledger", "casa-workload-web",
      ])
  }
}
