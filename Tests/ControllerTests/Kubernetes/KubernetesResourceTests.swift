import CASACore
import Testing

@testable import Controller

@Suite("Paths of the Kubernetes API")
struct KubernetesResourceTests {
  @Test("lead to collections, objects and subresources")
  func paths() throws {
    #expect(try KubernetesResource.pods.path(namespace: nil) == "/api/v1/pods")
    #expect(try KubernetesResource.pods.path(namespace: "n", name: "a") == "/api/v1/namespaces/n/pods/a")
    #expect(try KubernetesResource.namespaces.path(namespace: nil, name: "n") == "/api/v1/namespaces/n")
    #expect(
      try KubernetesResource.multiAgentSystems.path(namespace: "n", name: "a", subresource: "status")
        == "/apis/casa.io/v1alpha1/namespaces/n/multiagentsystems/a/status")
    #expect(
      try KubernetesResource.pods.path(namespace: "n", name: "a:b?ä") == "/api/v1/namespaces/n/pods/a%3Ab%3F%C3%A4")
  }

  @Test(
    "lead nowhere else", arguments: ["", ".", "..", "a/b", "%2e", "a b", "a\n", String(repeating: "a", count: 254)])
  func names(_ name: String) {
    #expect(throws: KubernetesError.self) { try KubernetesResource.pods.path(namespace: "n", name: name) }
    #expect(throws: KubernetesError.self) { try KubernetesResource.pods.path(namespace: name) }
  }

  @Test("have a namespace where there are namespaces, and only there")
  func namespaces() {
    #expect(throws: KubernetesError.self) { try KubernetesResource.pods.path(namespace: nil, name: "a") }
    #expect(throws: KubernetesError.self) { try KubernetesResource.namespaces.path(namespace: "n") }
  }

  @Test("each kind is there once")
  func all() {
    #expect(Set(KubernetesResource.all).count == KubernetesResource.all.count)
    #expect(Set(KubernetesResource.all.map(\.kind)).count == KubernetesResource.all.count)
  }

  @Test("statuses say what they mean")
  func errors() {
    #expect(KubernetesError(code: 409, status: ["reason": "AlreadyExists"]) == .alreadyExists)
    #expect(KubernetesError(code: 409, status: ["reason": "Conflict"]) == .conflict)
    #expect(KubernetesError(code: 404, status: nil) == .notFound)
    #expect(KubernetesError(code: 410, status: nil) == .gone)
    #expect(KubernetesError(code: 422, status: ["message": "m"]) == .invalid("m"))
    #expect(KubernetesError(code: 403, status: ["message": "m"]) == .forbidden("m"))
    #expect(KubernetesError(code: 503, status: nil) == .server(status: 503))
    #expect(
      KubernetesError(code: 429, status: nil, retryAfter: .seconds(3)) == .tooManyRequests(retryAfter: .seconds(3)))
    let passing = [429, 500, 502, 503, 504].filter { KubernetesError(code: $0, status: nil).mayPass }
    #expect(passing == [429, 500, 502, 503, 504])
    for code in [400, 401, 403, 404, 409, 410, 422, 501] {
      #expect(!KubernetesError(code: code, status: nil).mayPass)
    }
  }
}
