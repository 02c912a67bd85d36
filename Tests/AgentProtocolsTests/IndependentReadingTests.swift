import AgentProtocols
import CASACore
import Foundation
import SeededRandom
import Testing

/// Whether Foundation's reader, which shares nothing with ours, gives the same value.
private func foundationReads(_ bytes: [UInt8], as value: JSONValue) throws -> Bool {
  let read = try JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed])
  func equal(_ value: JSONValue, _ other: Any) -> Bool {
    switch value {
    case .null: other is NSNull
    case .bool(let value): (other as? Bool) == value
    case .number(let value):
      // A number of many digits is read exactly, as a decimal, whose own conversion to a double rounds more than once.
      (other as? NSDecimalNumber).map { Double($0.description) == value }
        ?? ((other as? NSNumber)?.doubleValue == value)
    case .string(let value): (other as? String).map { haveSameBytes($0, value) } ?? false
    case .array(let elements):
      (other as? [Any]).map { $0.count == elements.count && zip(elements, $0).allSatisfy(equal) } ?? false
    case .object(let members):
      (other as? [String: Any]).map { other in
        other.count == members.count
          && members.allSatisfy { name, value in other[name].map { equal(value, $0) } ?? false }
      } ?? false
    }
  }
  return equal(value, read)
}

@Suite("What is checked is what an independent reader reads")
struct IndependentReadingTests {
  /// `value` as a writer with odd habits would put it: white space and escapes wherever they may stand.
  private func spelled(_ value: JSONValue, _ generator: inout SeededGenerator) -> String {
    func gap(_ generator: inout SeededGenerator) -> String {
      ["", " ", "\n\t", "\r\n"].randomElement(using: &generator) ?? ""
    }
    func quoted(_ text: String, _ generator: inout SeededGenerator) -> String {
      var output = "\""
      for scalar in text.unicodeScalars {
        let mustEscape = scalar.value < 0x20 || scalar == "\"" || scalar == "\\"
        guard mustEscape || Int.random(in: 0..<3, using: &generator) == 0 else {
          output.unicodeScalars.append(scalar)
          continue
        }
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16, uppercase: Bool.random(using: &generator))
          output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
      }
      return output + "\""
    }
    switch value {
    case .string(let text): return quoted(text, &generator)
    case .array(let elements):
      return "[" + elements.map { gap(&generator) + spelled($0, &generator) }.joined(separator: ",") + gap(&generator)
        + "]"
    case .object(let members):
      // In an order that is the same in each run, unlike a dictionary's.
      return "{"
        + members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map {
          gap(&generator) + quoted($0, &generator) + gap(&generator) + ":" + spelled($1, &generator)
        }
        .joined(separator: ",") + "}"
    default: return gap(&generator) + value.canonicalText
    }
  }

  @Test("for calls of tools, whose canonical form does not depend on how they are written")
  func toolCalls() throws {
    var generator = SeededGenerator(seed: 11)
    for index in 0..<1500 {
      let arguments: JSONValue = ["a": generator.json(depth: 5), "b": generator.json(depth: 2)]
      let json: JSONValue = [
        "jsonrpc": "2.0", "id": .number(Double(index)), "method": "tools/call",
        "params": ["name": "get.x", "arguments": arguments],
      ]
      let bytes = Array(spelled(json, &generator).utf8)
      let message = try MCPMessage(parsing: bytes, methodHeader: nil, nameHeader: nil, revisionHeader: nil)
      guard case .toolCall(_, _, let parsed) = message.content else {
        Issue.record("expected a tool call")
        return
      }
      #expect(JSONValue.object(parsed).canonicalBytes == arguments.canonicalBytes)
      #expect(try foundationReads(bytes, as: json))
      #expect(try foundationReads(JSONValue.object(parsed).canonicalBytes, as: arguments))
    }
  }

  @Test("for the words in messages to agents and to the LLM")
  func words() throws {
    var generator = SeededGenerator(seed: 12)
    for _ in 0..<1500 {
      let (first, second) = (generator.text(), generator.text())
      let params: JSONValue = [
        "message": ["role": "user", "messageId": "m", "parts": [["text": .string(first)], ["text": .string(second)]]]
      ]
      let a2a = try A2ARequest(
        method: "POST", path: "/message:send", query: nil, basePath: "/", contentType: "application/json",
        body: Array(spelled(params, &generator).utf8))
      guard case .message(let message) = a2a.content else {
        Issue.record("expected a message")
        return
      }
      #expect(haveSameBytes(message.text ?? "", first + "\n" + second))
      let chat: JSONValue = [
        "model": "m",
        "messages": [
          ["role": "system", "content": .string(first)],
          ["role": "user", "content": [["type": "text", "text": .string(second)]]],
        ],
      ]
      let bytes = Array(spelled(chat, &generator).utf8)
      let request = try ChatCompletionRequest(parsing: bytes)
      #expect(zip(request.texts, [first, second]).allSatisfy(haveSameBytes) && request.texts.count == 2)
      #expect(try foundationReads(bytes, as: chat))
    }
  }
}
