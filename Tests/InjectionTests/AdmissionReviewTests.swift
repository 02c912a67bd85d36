import AgentProtocols
import CASACore
import Testing

@testable import Injection

@Suite("A review")
struct AdmissionReviewTests {
  @Test("is read with who asks for what")
  func read() throws {
    let read = try review(
      reviewJSON("UPDATE", object: Pods.app, old: Pods.app, name: "teller", user: "jane", groups: ["a", "b"]))
    #expect(read.operation == .update && read.name == "teller" && read.namespace == "bank")
    #expect(read.user == .init(name: "jane", groups: ["a", "b"]))
    #expect(read.resource.resource == "pods" && read.resource.subresource == nil && !read.isDryRun)
    #expect(read.object == Pods.app)
  }

  @Test(
    "has nobody to answer when it is no strict JSON or has no uid",
    arguments: [
      "", "{", "[]", "null", "{\"request\":{}}", "{\"request\":{\"uid\":\"\"}}", "{\"request\":{\"uid\":1}}",
      "{\"request\":{\"uid\":\"a b\"}}", "{\"request\":{\"uid\":\"a\",\"uid\":\"b\"}}",
      "{\"request\":{\"uid\":\"a\"}} x",
    ])
  func unanswerable(text: String) {
    for webhook in Admission.Webhook.allCases {
      #expect(throws: UnanswerableReview.self) {
        try Admission(configuration: configuration()).response(to: Array(text.utf8), by: webhook)
      }
    }
  }

  @Test("larger than 3 MiB is not read")
  func tooLarge() {
    let text = "{\"request\":{\"uid\":\"a\",\"x\":\"\(String(repeating: "x", count: AdmissionReview.maximumBytes))\"}}"
    #expect(throws: AdmissionReviewError.self) { try AdmissionReview(parsing: Array(text.utf8)) }
  }

  @Test(
    "of another version or shape is refused under its uid",
    arguments: [
      reviewJSON(object: Pods.app).setting("apiVersion", to: "admission.k8s.io/v1beta1"),
      reviewJSON(object: Pods.app).setting("kind", to: "Review"), reviewJSON("PATCH", object: Pods.app),
      reviewJSON("create", object: Pods.app), reviewJSON(object: nil), reviewJSON("UPDATE", object: Pods.app),
      reviewJSON(object: "a pod"), reviewJSON(object: Pods.app, kind: "Deployment"),
      reviewJSON(object: Pods.app, resource: "services"), reviewJSON(object: Pods.app, resource: ""),
      reviewJSON(object: Pods.app, group: "apps"), reviewJSON(object: Pods.app.setting("kind", to: nil)),
      reviewJSON(object: Pods.app.setting("spec", to: "none")),
      reviewJSON(object: Pods.app(spec: ["containers": "none"])),
      reviewJSON(object: Pods.app(spec: ["containers": ["none"]])),
      reviewJSON(object: Pods.app(spec: ["hostNetwork": "true"])),
      reviewJSON(object: Pods.app(spec: ["hostPID": 1])),
      reviewJSON(object: Pods.app(metadata: ["labels": ["a": 1]])),
      reviewJSON(object: Pods.app(security: ["runAsUser": "1337"])),
      reviewJSON(object: Pods.app(security: ["runAsUser": .number(1336.5)])),
      reviewJSON(object: Pods.app(security: ["capabilities": ["add": [1]]])),
    ])
  func refused(json: JSONValue) throws {
    for webhook in Admission.Webhook.allCases {
      let response = try Admission(configuration: configuration()).response(to: json.canonicalBytes, by: webhook)
      #expect(!response.isAllowed && response.uid == "705ab4f5-6393-11e8-b7cc-42010a800002")
      guard case .refused(let refusal) = response.outcome else { continue }
      #expect(refusal.code == 400, "\(refusal)")
    }
  }

  @Test("is answered with a patch in base64, or with the reasons")
  func answers() throws {
    let allowed = try mutation(of: Pods.app)
    let response = try #require(allowed.json["response"])
    #expect(allowed.json["apiVersion"] == "admission.k8s.io/v1" && allowed.json["kind"] == "AdmissionReview")
    #expect(response["allowed"] == true && response["patchType"] == "JSONPatch")
    let bytes = try #require(response["patch"]?.string.flatMap { Base64.decode($0) })
    #expect(try JSONValue(parsing: bytes).array?.count == allowed.patch?.count)
    let refused = try mutation(of: Pods.app(spec: ["hostNetwork": true])).json
    #expect(refused["response"]?["allowed"] == false && refused["response"]?["patch"] == nil)
    #expect(refused["response"]?["status"]?["code"] == 403)
    #expect(refused["response"]?["status"]?["message"]?.string?.hasPrefix("CASA: spec.hostNetwork must") == true)
  }

  @Test("about something that no rule should lead here is refused")
  func unknown() throws {
    for (group, resource) in [("", "configmaps"), ("apps", "deployments")] {
      let json = reviewJSON(
        object: ["kind": "Thing"], group: group, resource: resource, kind: "Thing")
      #expect(!Admission(configuration: configuration()).validated(try review(json)).isAllowed)
      #expect(!PodInjection.patch(for: try review(json), configuration: configuration()).isAllowed)
    }
  }

  @Test("tells many reasons shortly, and without control characters")
  func bounded() {
    let refusal = AdmissionRefusal((0..<40).map { "reason \($0)\u{7} " + String(repeating: "x", count: 1000) })
    #expect(refusal.description.utf8.count < 6000 && refusal.description.hasSuffix("and 28 more"))
    #expect(!refusal.description.unicodeScalars.contains("\u{7}"))
  }
}
