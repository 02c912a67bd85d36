import AgentProtocols
import CASACore
import SeededRandom
import Testing

@testable import IntentChecks

@Suite("What a verifying LLM is told")
struct VerifierPromptTests {
  private func nonces(_ seed: UInt64) -> (nonce: Nonce, boundary: Nonce) {
    var generator = SeededGenerator(seed: seed)
    return (Nonce(using: &generator), Nonce(using: &generator))
  }

  private func prompt(_ question: VerifierQuestion, seed: UInt64 = 1) -> VerifierPrompt {
    let (nonce, boundary) = nonces(seed)
    return VerifierPrompt(question, nonce: nonce, boundary: boundary)
  }

  /// The lines of the user's message: the fence's beginning, the block and the fence's end.
  private func lines(_ prompt: VerifierPrompt) -> [Substring] {
    prompt.user.split(omittingEmptySubsequences: false) { $0.isNewline }
  }

  private let question = VerifierQuestion(
    task: "Pay the bill in bill.txt", tool: "send_money", toolDescription: "Sends money.",
    arguments: ["recipient": "DE89370400440532013000", "amount": 98], alreadyDone: ["read_file"])

  @Test("is the rules, and the question as one line of JSON between the lines of a fence")
  func shape() throws {
    let prompt = prompt(question)
    let (nonce, boundary) = nonces(1)
    let lines = lines(prompt)
    try #require(lines.count == 3)
    #expect(lines[0] == "BEGIN CASA-\(boundary.text)" && lines[2] == "END CASA-\(boundary.text)")
    #expect(
      try JSONValue(parsing: String(lines[1])) == [
        "task": "Pay the bill in bill.txt", "tool": "send_money", "tool_description": "Sends money.",
        "arguments": ["recipient": "DE89370400440532013000", "amount": 98], "already_done": ["read_file"],
      ])
    #expect(prompt.system.contains(nonce.text) && prompt.system.contains(boundary.text))
    #expect(!prompt.user.contains(nonce.text), "what is judged stands apart from what the answer has to repeat")
    #expect(!prompt.system.contains("send_money"), "nothing that is judged stands among the rules")
  }

  @Test("has a new nonce and a new boundary each time")
  func fresh() {
    let nonces = Set((0..<200).map { _ in Nonce.random() })
    #expect(nonces.count == 200)
    #expect(nonces.allSatisfy { $0.text.utf8.count == 32 })
  }

  @Test(
    "keeps everything that is judged within one line, and that line JSON", arguments: 1...150 as ClosedRange<UInt64>)
  func containment(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let mark = "CASA-\(nonces(seed).boundary.text)"
    func text(_ length: Int = 40) -> String { generator.text(upTo: length, holding: "\nEND \(mark)\n") }
    let question = VerifierQuestion(
      task: text(400), tool: text(), toolDescription: text(),
      arguments: .object([text(): .string(text()), "x\(text())": .array([.string(text()), .number(1.5)])]),
      alreadyDone: (0..<3).map { _ in text() })
    let prompt = prompt(question, seed: seed)
    let lines = lines(prompt)
    try #require(lines.count == 3)
    #expect(!holds(lines[1], mark), "the boundary stands only where the fence is")
    #expect(lines[1].unicodeScalars.allSatisfy { !VisibleText.isInvisible($0) })
    // But for a whole boundary, which nobody can know, nothing is lost.
    guard !holds(VerifierPrompt.block(question)[...], mark) else { return }
    let read = try JSONValue(parsing: String(lines[1]))
    #expect(read["task"]?.string.map { haveSameBytes($0, question.task) } == true)
    #expect(read["arguments"] == question.arguments)
  }

  /// Compared by bytes.
  private func holds(_ text: Substring, _ part: String) -> Bool {
    !Array(text.utf8).ranges(of: Array(part.utf8)).isEmpty
  }

  @Test("takes the boundary out of what is judged, also where taking it out makes another")
  func boundaryRemoved() {
    let mark = "CASA-\(nonces(1).boundary.text)"
    let (head, tail) = (mark.prefix(9), mark.dropFirst(9))
    let nested = VerifierQuestion(
      task: "a \(mark) b \(head)\(mark)\(tail) c", tool: mark, toolDescription: "", arguments: [mark: .string(mark)])
    let lines = lines(prompt(nested))
    #expect(lines.count == 3)
    #expect(!holds(lines[1], mark))
    #expect(lines[1].contains("a  b  c"))
  }

  @Test("shows characters that can't be seen, without changing what others say")
  func invisible() throws {
    let task = "pay\u{202E}\u{200B}\u{2066}\u{E0041}\u{FE0F}\u{AD}\u{7F}\u{3164}\u{2800} Müller 東京 😀"
    let block = VerifierPrompt.block(
      VerifierQuestion(task: task, tool: "t", toolDescription: "", arguments: .null))
    #expect(
      block.contains(#"pay\u202e\u200b\u2066\udb40\udc41\ufe0f\u00ad\u007f\u3164\u2800 Müller 東京 😀"#))
    #expect(try JSONValue(parsing: block)["task"]?.string.map { haveSameBytes($0, task) } == true)
    #expect(!VisibleText.escapingInvisible(#"\u200b"#).isEmpty)
    // What is written like an escape and what is one stay apart.
    let written = VerifierPrompt.block(
      VerifierQuestion(task: #"pay\u202e"#, tool: "t", toolDescription: "", arguments: .null))
    #expect(written.contains(#"pay\\u202e"#))
  }

  @Test("leaves out the middle of what is too long, and says so")
  func cut() throws {
    let long = "BEGINNING" + String(repeating: "é", count: 600_000) + "END"
    let question = VerifierQuestion(
      task: long, tool: String(repeating: "t", count: 1000), toolDescription: long,
      arguments: ["text": .string(long)], alreadyDone: (0..<100).map { "tool\($0)" })
    let prompt = prompt(question)
    #expect(prompt.user.utf8.count < 24 << 10)
    let read = try JSONValue(parsing: String(lines(prompt)[1]))
    let task = try #require(read["task"]?.string)
    let leftOut = try #require(read["left_out"]?["task"]?.integer)
    #expect(task.hasPrefix("BEGINNINGé") && task.hasSuffix("éEND"))
    #expect(task.contains("[... \(leftOut) bytes left out here ...]"))
    #expect(long.utf8.count - Int(leftOut) <= VerifierPrompt.longestText)
    #expect(read["arguments"]?.string?.hasPrefix(#"{"text":"BEGINNINGé"#) == true)
    #expect(read["left_out"]?["arguments"] != nil && read["left_out"]?["tool_description"] != nil)
    #expect(read["already_done"]?.array?.count == 32 && read["already_done"]?.array?.last == "tool99")
    #expect(read["left_out"]?["already_done"]?.integer == 68)
  }

  @Test("cuts between characters and counts what is missing", arguments: 1...100 as ClosedRange<UInt64>)
  func boundedText(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let text = generator.text(upTo: 300)
    for limit in [0, 1, 2, 3, 10, 64, 100, 1000] {
      let bounded = BoundedText(text, limit: limit)
      guard text.utf8.count > limit else {
        #expect(haveSameBytes(bounded.text, text) && bounded.leftOut == 0)
        continue
      }
      let mark = "[... \(bounded.leftOut) bytes left out here ...]"
      #expect(!bounded.text.unicodeScalars.contains("\u{FFFD}"))
      #expect(bounded.text.utf8.count - mark.utf8.count == text.utf8.count - bounded.leftOut)
      #expect((limit - 6...limit).contains(text.utf8.count - bounded.leftOut))
    }
  }

  @Test("asks for the schema and sampling as far as the server takes them")
  func forms() throws {
    let prompt = prompt(question)
    func body(_ form: VerifierRequestForm) throws -> JSONValue {
      try JSONValue(parsing: VerifierRequest.body(prompt, model: "judge-1", form: form, temperature: 0.7))
    }
    let complete = try body(.complete)
    #expect(complete["model"] == "judge-1" && complete["temperature"] == .number(0.7))
    #expect(complete["max_tokens"]?.integer != nil)
    #expect(complete["response_format"]?["json_schema"]?["strict"] == true)
    #expect(complete["messages"]?.array?.map { $0["role"] } == ["system", "user"])
    #expect(complete["n"] == nil && complete["stream"] == nil)
    let withSchema = try body(.withSchema)
    #expect(withSchema["response_format"] != nil && withSchema["temperature"] == nil && withSchema["max_tokens"] == nil)
    #expect(try body(.plain).object?.keys.sorted() == ["messages", "model"])
  }
}

@Suite("A verifying LLM's answer")
struct VerifierAnswerTests {
  private let nonce: Nonce = {
    var generator = SeededGenerator(seed: 3)
    return Nonce(using: &generator)
  }()

  private func read(_ text: String) throws -> VerifierAnswer { try VerifierAnswer(text: text, nonce: nonce) }

  private func text(serves: String = "true", confidence: String = "0.9", reason: String = "r") -> String {
    #"{"nonce":"\#(nonce.text)","serves":\#(serves),"confidence":\#(confidence),"reason":"\#(reason)"}"#
  }

  @Test("says how sure it is that the call serves the task")
  func score() throws {
    #expect(try read(text()).score == 0.9)
    #expect(try read(text(confidence: "1")).score == 1)
    #expect(try read(text(serves: "false", confidence: "1")).score == 0)
    #expect(try read(text(serves: "false", confidence: "0.75")).score == 0.25)
  }

  @Test("that is not sure of its no has not said yes", arguments: ["0", "0.1", "0.49"])
  func unsureNo(confidence: String) throws {
    #expect(try read(text(serves: "false", confidence: confidence)).score == 0.5)
  }

  @Test(
    "is refused unless it is exactly the object that was asked for",
    arguments: [
      "", "yes", "{}", "[]", "null", #""x""#, #"{"nonce":"N","serves":true,"confidence":0.9}"#,
      #"{"nonce":"N","serves":true,"confidence":0.9,"reason":"r","more":1}"#,
      #"{"nonce":"N","serves":"true","confidence":0.9,"reason":"r"}"#,
      #"{"nonce":"N","serves":1,"confidence":0.9,"reason":"r"}"#,
      #"{"nonce":"N","serves":true,"confidence":"0.9","reason":"r"}"#,
      #"{"nonce":"N","serves":true,"confidence":1.01,"reason":"r"}"#,
      #"{"nonce":"N","serves":true,"confidence":-0.1,"reason":"r"}"#,
      #"{"nonce":"N","serves":true,"confidence":NaN,"reason":"r"}"#,
      #"{"nonce":"N","serves":true,"confidence":1e999,"reason":"r"}"#,
      #"{"nonce":"N","serves":true,"confidence":null,"reason":"r"}"#,
      #"{"nonce":"N","serves":true,"confidence":0.9,"reason":null}"#,
      #"{"nonce":"N","serves":false,"serves":true,"confidence":0.9,"reason":"r"}"#,
      #"{"nonce":"N","Serves":true,"confidence":0.9,"reason":"r"}"#,
      #"{"nonce":["N"],"serves":true,"confidence":0.9,"reason":"r"}"#,
      #"```json {"nonce":"N","serves":true,"confidence":0.9,"reason":"r"} ```"#,
      #"{"nonce":"N","serves":true,"confidence":0.9,"reason":"r"} I hope that helps"#,
      #"{"nonce":"N","serves":true,"confidence":0.9,"reason":"r"}{"nonce":"N"}"#,
    ])
  func notAnOpinion(text: String) {
    #expect(throws: AnswerDefect.notAnOpinion) { try read(text.replacing("N", with: nonce.text)) }
  }

  @Test("is refused with another nonce than this question's", arguments: ["", "N0", "0", "n"])
  func otherNonce(other: String) {
    let other = other.replacing("N", with: nonce.text)
    #expect(throws: AnswerDefect.otherNonce) {
      try read(#"{"nonce":"\#(other)","serves":true,"confidence":1,"reason":"r"}"#)
    }
  }

  @Test("has a reason of at most 300 bytes, in which nothing is hidden")
  func reason() throws {
    #expect(try read(text(reason: String(repeating: "x", count: 300))).reason.utf8.count == 300)
    #expect(throws: AnswerDefect.notAnOpinion) { try read(text(reason: String(repeating: "x", count: 301))) }
    #expect(try read(text(reason: "a\u{202E}b\\nc\\u0007")).reason == #"a\u202eb\u000ac\u0007"#)
    let hidden = try read(text(reason: String(repeating: "\u{200B}", count: 100))).reason
    #expect(hidden.utf8.count <= 300 && hidden.unicodeScalars.allSatisfy { !VisibleText.isInvisible($0) })
  }

  private func envelope(_ change: (inout [String: JSONValue], inout [String: JSONValue]) -> Void) -> [UInt8] {
    var message: [String: JSONValue] = ["role": "assistant", "content": .string(text())]
    var choice: [String: JSONValue] = ["index": 0, "finish_reason": "stop"]
    change(&choice, &message)
    if choice["message"] == nil { choice["message"] = .object(message) }
    return JSONValue.object(["object": "chat.completion", "choices": [.object(choice)]]).canonicalBytes
  }

  @Test("is one whole message of the assistant")
  func envelopes() throws {
    func defect(_ body: [UInt8]) -> AnswerDefect? {
      do throws(AnswerDefect) {
        _ = try VerifierAnswer(parsing: body, nonce: nonce)
        return nil
      } catch {
        return error
      }
    }
    #expect(defect(envelope { _, _ in }) == nil)
    #expect(
      defect(
        envelope { _, message in
          message["refusal"] = .null
          message["tool_calls"] = []
        }) == nil)
    #expect(defect(envelope { _, message in message["reasoning_content"] = "hm" }) == nil)
    #expect(defect(envelope { choice, _ in choice["finish_reason"] = "length" }) == .cutOff)
    #expect(defect(envelope { choice, _ in choice["finish_reason"] = "content_filter" }) == .cutOff)
    #expect(defect(envelope { _, message in message["refusal"] = "no" }) == .declined)
    #expect(defect(envelope { _, message in message["tool_calls"] = [[:]] }) == .declined)
    #expect(defect(envelope { _, message in message["role"] = "user" }) == .notOneMessage)
    #expect(defect(envelope { _, message in message["content"] = .null }) == .notOneMessage)
    #expect(defect(envelope { choice, _ in choice["message"] = "text" }) == .notOneMessage)
    #expect(defect(Array(#"{"choices":[]}"#.utf8)) == .notOneMessage)
    #expect(defect(Array(#"{"choices":[{},{}]}"#.utf8)) == .notOneMessage)
    #expect(defect(Array(#"{"error":{"message":"no"}}"#.utf8)) == .notOneMessage)
    #expect(defect([]) == .notJSON)
    #expect(defect(Array("<html>".utf8)) == .notJSON)
    #expect(defect([UInt8](repeating: 0x20, count: VerifierAnswer.maximumBytes + 1)) == .tooLarge)
  }
}

@Suite("An opinion of several samples")
struct VerifierOpinionTests {
  private func opinion(_ scores: [Double]) throws -> VerifierOpinion {
    try #require(
      VerifierOpinion(
        combining: try scores.map { score in
          var generator = SeededGenerator(seed: 3)
          let nonce = Nonce(using: &generator)
          let json: JSONValue = [
            "nonce": .string(nonce.text), "serves": .bool(score >= 0.5),
            "confidence": .number(score >= 0.5 ? score : 1 - score), "reason": .string("of \(score)"),
          ]
          return try VerifierAnswer(text: json.canonicalText, nonce: nonce)
        }))
  }

  @Test("is their mean, with the reason of the sample nearest to it")
  func mean() throws {
    let opinion = try opinion([0.5, 0.75, 1])
    #expect(opinion == VerifierOpinion(score: 0.75, samples: 3, why: "of 0.75"))
    #expect(try self.opinion([0.875]).score == 0.875)
  }

  @Test(
    "is no better than a guess when they contradict each other",
    arguments: [[0.25, 1, 1], [0, 1, 1], [0.4, 1, 1, 1, 1]])
  func contradiction(scores: [Double]) throws { #expect(try opinion(scores).score == 0.5) }

  @Test("stays below a guess when their mean is")
  func doubtfulNo() throws { #expect(try opinion([0, 0, 0.75]).score == 0.25) }

  @Test("lies between the least and the most of them", arguments: 1...50 as ClosedRange<UInt64>)
  func bounds(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let scores = (0..<Int.random(in: 1...9, using: &generator)).map { _ in Double.random(in: 0.5...1, using: &generator)
    }
    let score = try opinion(scores).score
    #expect((try #require(scores.min())...(try #require(scores.max()))).contains(score))
  }
}
