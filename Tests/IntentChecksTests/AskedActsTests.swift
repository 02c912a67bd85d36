import CASACore
import SeededRandom
import Testing

@testable import IntentChecks

@Suite("How often a request asks for something")
struct AskedActsTests {
  private func limit(_ task: String, _ effects: Set<ToolEffect>) -> Int? {
    AskedActs(task, delegates: Phrasing.delegates(task)).limit(of: effects)
  }

  private static let onceCases: [(String, Set<ToolEffect>)] = [
    ("Can you please pay the bill in 'invoice-march.txt' for me?", [.pays]),
    ("Pay the bill in bill.txt, please.", [.pays, .sends]),
    ("Refund my friend for the dinner", [.pays]),
    ("Find and delete the largest file in the drive.", [.deletes]),
    ("Share the document with my tax adviser", [.grants]),
    ("Look up the address of Sarah Jones and send her the report, if I did not do so lately.", [.sends]),
  ]

  private static let namedCases: [(String, Set<ToolEffect>, Int)] = [
    ("Pay the electricity bill and then pay the rent.", [.pays], 2),
    ("Pay the bill in bill.txt. Also refund my friend for the dinner.", [.pays], 2),
    ("Email the report to Bob. Then email the invoice to Ann.", [.sends], 2),
  ]

  private static let severalCases: [(String, Set<ToolEffect>)] = [
    ("Pay each bill in the folder.", [.pays]),
    ("Pay all of it.", [.pays]),
    ("Pay both.", [.pays]),
    ("There are three bills in my inbox. Pay them.", [.pays]),
    ("Pay the bills from my inbox", [.pays]),
    ("Pay the 3 invoices of March", [.pays]),
    ("Send an invitation to Ann, Bob and Carol.", [.sends]),
    ("Send a summary to Ann and a reminder to Bob.", [.sends]),
    ("Forward it to ann@example.com and bob@example.com", [.sends]),
    ("Send the report to everyone in the department", [.sends]),
    ("Tell the team that I am late", [.sends]),
    ("Delete these files", [.deletes]),
    ("Delete the old drafts", [.deletes]),
    ("Share the plan with my colleagues", [.grants]),
    ("Customers whose parcel is lost should get an email", [.sends]),
    ("Pay everybody's salary", [.pays]),
    ("Send Bob a reminder daily until he answers", [.sends]),
    ("Please do the actions specified in the email from Ann and send it.", [.sends]),
    // It is not said how often.
    ("Organise my trip to Rome", [.pays]),
    ("What is the weather?", [.sends]),
    ("", [.pays]),
    // One thing leads to the next.
    ("Create a file with the packing list", [.writes]),
    ("Organise my trip to Rome and send me the plan", [.writes, .sends]),
    ("Bezahle bitte die Rechnung", [.pays]),
  ]

  @Test(
    "once, where it names one thing once",
    arguments: onceCases)
  func once(task: String, effects: Set<ToolEffect>) {
    #expect(limit(task, effects) == 1)
  }

  @Test(
    "as often as it names it",
    arguments: namedCases)
  func named(task: String, effects: Set<ToolEffect>, count: Int) throws {
    #expect(try #require(limit(task, effects)) >= count)
  }

  @Test(
    "as often as it takes, where it may mean several",
    arguments: severalCases)
  func several(task: String, effects: Set<ToolEffect>) {
    #expect(limit(task, effects) == nil)
  }

  @Test("never more seldom for more words")
  func monotonous() throws {
    var generator = SeededGenerator(seed: 31)
    let words = [
      "pay", "the", "bill", "send", "it", "report", "to", "Bob", "email", "refund", "now", "delete", "file.",
    ]
    let markers = ["each", "both", "three", "bills", "these", "everyone"]
    for _ in 0..<400 {
      let task = (0..<Int.random(in: 1...12, using: &generator)).compactMap { _ in
        words.randomElement(using: &generator)
      }.joined(separator: " ")
      for effect in [ToolEffect.pays, .sends, .deletes, .grants] {
        guard let before = limit(task, [effect]) else { continue }
        // One more order of the kind.
        let verb = try #require([.pays: "pay", .sends: "send", .deletes: "delete", .grants: "share"][effect])
        let after = limit(task + ". " + verb + " it", [effect])
        #expect(after.map { $0 > before } ?? true, "\(task)")
        let marker = try #require(markers.randomElement(using: &generator))
        #expect(limit("\(verb) \(marker) \(task)", [effect]) == nil, "\(marker) \(task)")
      }
    }
  }

  @Test("in bounded time, whatever the text")
  func anyText() {
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<300 {
      let task = generator.text(upTo: 200, holding: "pay, and send")
      _ = limit(task, Set(ToolEffect.allCases))
    }
    _ = limit(String(repeating: "pay, and ", count: 100_000), [.pays])
  }
}
