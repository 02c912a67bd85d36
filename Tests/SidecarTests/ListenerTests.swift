import Sidecar
import Testing

@Suite("The name of a listener")
struct ListenerTests {
  @Test("is ingress or a numbered egress")
  func names() {
    #expect(Listener(name: "ingress") == .ingress)
    #expect(Listener(name: "egress-0") == .egress(0))
    #expect(Listener(name: "egress-999") == .egress(999))
    for name in [
      "", "Ingress", "egress", "egress-", "egress--1", "egress-1000", "egress-x", "egress-1 ",
      "egress-99999999999999999999",
    ] {
      #expect(Listener(name: name) == nil)
    }
    for listener in [Listener.ingress, .egress(3)] { #expect(Listener(name: listener.name) == listener) }
  }
}
