import CASACore
import Sidecar
import Testing

@testable import LocalMode

@Suite("The file of a local system")
struct LocalSystemTests {
  private func error(appNamed name: String) -> String? {
    let yaml = """
      mas: banking
      runtime: 127.0.0.1:8700
      apps:
        - name: \(name)
          kind: client
      """
    do throws(ConfigurationError) {
      _ = try LocalSystem(yaml: yaml, relativeTo: "/")
      return nil
    } catch {
      return error.description
    }
  }

  @Test("has no app that would be taken for the LLM")
  func nameOfLLM() {
    #expect(error(appNamed: "llm")?.contains("not `llm`, which is the LLM's name in the trace") == true)
    #expect(error(appNamed: "llm")?.hasPrefix("line 4: `name`") == true)
    #expect(error(appNamed: "web") == nil)
  }
}
