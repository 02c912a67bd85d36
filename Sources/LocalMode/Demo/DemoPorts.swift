import CASACore
import Sidecar

/// Where the demonstration's parts listen.
struct DemoPorts: Sendable {
  let runtime: Int
  let bank: Int
  let agent: Int
  let llm: Int
  let clientToAgent: Int
  let agentEntrance: Int
  let bankEntrance: Int
  let agentToBank: Int
  let agentToLLMPort: Int
  /// The scripted stand-in for an LLM.
  let standIn: HTTPEndpoint

  /// Takes ports that are free now.
  init() async throws {
    let ports = try await FreePorts.take(9)
    guard ports.count == 9, let standIn = HTTPEndpoint("http://127.0.0.1:\(ports[3])/v1") else {
      throw LocalModeError("no free ports were found")
    }
    (runtime, bank, agent, llm) = (ports[0], ports[1], ports[2], ports[3])
    (clientToAgent, agentEntrance, bankEntrance) = (ports[4], ports[5], ports[6])
    (agentToBank, agentToLLMPort) = (ports[7], ports[8])
    self.standIn = standIn
  }

  func agentToLLM(_ llm: HTTPEndpoint) -> String { "http://127.0.0.1:\(agentToLLMPort)\(llm.path)" }

  /// The system as a file would describe it.
  /// - Throws: `ConfigurationError`
  func system(llm: HTTPEndpoint, apiKeyFile: String) throws(ConfigurationError) -> LocalSystem {
    try LocalSystem(
      yaml: """
        mas: banking
        runtime: 127.0.0.1:\(runtime)
        apps:
          - name: client
            kind: client
            calls:
              - {app: agent, listen: "127.0.0.1:\(clientToAgent)"}
          - name: agent
            kind: agent
            url: http://127.0.0.1:\(agent)/
            listen: 127.0.0.1:\(agentEntrance)
            calls:
              - {app: bank, listen: "127.0.0.1:\(agentToBank)"}
              - {llm: "\(llm)", api_key_file: "\(apiKeyFile)", listen: "127.0.0.1:\(agentToLLMPort)"}
          - name: bank
            kind: mcp_server
            url: http://127.0.0.1:\(bank)/mcp
            listen: 127.0.0.1:\(bankEntrance)
        """, relativeTo: "/")
  }
}
