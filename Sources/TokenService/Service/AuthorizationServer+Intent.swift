import AgentProtocols
import CASACore
import IntentChecks
import Storage
import Synchronization

extension AuthorizationServer {
  /// All that the checks of the MAS look at when they are asked about a call.
  func question(
    about call: ToolCall, of app: App, at server: App, in session: UserInputID, tools: [ToolName],
    othersUnderWay: Int, for mas: MAS
  ) async throws(OAuthError) -> ToolCallInQuestion {
    let isCompared = mas.settings.asksModels
    let activity = sessions.activity(of: app.id, in: session)
    let tool = registry.tool(call.tool, of: server.id)
    let granted = Set(tools)
    return ToolCallInQuestion(
      call: call, argumentsSHA256: call.argumentsSHA256, grantedTools: granted,
      offered: tool.flatMap { $0.seenSHA256 == nil ? nil : $0.isPinned ? .pinned : .modified },
      llmCalls: activity.llmCalls, selections: activity.selections,
      othersUnderWay: othersUnderWay,
      task: isCompared ? try await prompt(of: session) : nil,
      tool: tool?.toolDescription,
      otherTools: isCompared ? otherTools(than: call.tool, at: server, among: granted) : [],
      results: isCompared ? sessions.results(in: session) : [])
  }

  /// What else the session may call, at all servers of the MAS.
  private func otherTools(than tool: ToolName, at server: App, among granted: Set<ToolName>) -> [ToolDescription] {
    registry.apps(of: server.masID).filter { $0.kind == .mcpServer }.flatMap { app in
      registry.tools(of: app.id).lazy
        .filter { $0.isPinned && granted.contains($0.name) && !(app.id == server.id && $0.name == tool) }
        .map(\.toolDescription)
    }
  }

  /// What the user asked for.
  private func prompt(of session: UserInputID) async throws(OAuthError) -> String? {
    if let known = prompts.withLock({ $0[session] }) { return known }
    do {
      guard let text = try await userInput(session)?.text else { return nil }
      prompts.withLock { $0[session] = text }
      return text
    } catch {
      throw Self.storageFailure
    }
  }
}
