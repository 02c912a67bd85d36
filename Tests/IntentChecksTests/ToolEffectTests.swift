import CASACore
import Testing

@testable import IntentChecks

@Suite("What a tool does")
struct ToolEffectTests {
  private func effects(_ name: String, _ description: String, _ hints: ToolDescription.Hints = .init()) -> Set<
    ToolEffect
  > {
    ToolEffect.effects(of: ToolDescription(name: name, description: description, inputSchema: .null, hints: hints))
  }

  @Test("is read off its name and description")
  func wording() {
    #expect(effects("get_balance", "Returns the balance.") == [.reads])
    #expect(effects("searchFiles", "Finds files by name.") == [.reads])
    #expect(effects("send_money", "Sends a transaction to the recipient.").isSuperset(of: [.sends, .pays]))
    #expect(effects("delete_file", "Deletes the given file.") == [.deletes])
    #expect(effects("share_file", "Shares a file with a user.") == [.grants])
    #expect(effects("search_and_replace", "Searches a text.") == [.writes])
    #expect(effects("get_and_delete_messages", "Gets messages.") == [.deletes])
    #expect(effects("query", "Executes a statement.") != [.reads])
    #expect(effects("update_password", "Update the user password.") == [.writes])
  }

  @Test("of which nothing can be told counts as writing")
  func unknown() { #expect(effects("frobnicate", "Frobnicates.") == [.writes]) }

  @Test("is not made less by its server's hints, only more")
  func hints() {
    #expect(effects("delete_file", "Deletes a file.", .init(readOnly: true)) == [.deletes])
    #expect(effects("get_page", "Returns a page.", .init(destructive: true)) == [.deletes])
    #expect(effects("get_page", "Returns a page.", .init(readOnly: false)) == [.writes])
  }

  @Test("is what policy says where it says so")
  func policy() throws {
    var policy = IntentPolicy()
    policy.toolEffects[try #require(ToolName("get_page"))] = [.sends]
    #expect(
      policy.effects(of: ToolDescription(name: "get_page", description: "Returns a page.", inputSchema: .null)) == [
        .sends
      ])
  }
}
