import Foundation
import Sidecar
import Testing

@testable import EnvoyAuthorization

@Suite("A private socket")
struct PrivateSocketTests {
  @Test("that is gone is not called something else")
  func gone() {
    let path = NSTemporaryDirectory() + "casa-test-" + UUID().uuidString
    let error = #expect(throws: ConfigurationError.self) { try PrivateSocket.protect(.unix(path: path)) }
    #expect(error?.description == "the mode of \(path) can't be set: No such file or directory")
  }
}
