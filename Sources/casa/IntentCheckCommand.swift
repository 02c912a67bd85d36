import AgentProtocols
import ArgumentParser
import CASACore
import Foundation
import IntentChecks
import Traces

struct IntentCheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Explain how one call is judged.",
    discussion: """
      The call is a JSON object {"tool": {"name", "description", "inputSchema"?, "annotations"?}, "arguments",
      "otherTools"?: [...], "results"?: [{"tool", "output"}]}; results are what the session's tools answered before.

      Examples:
        casa intent check --task 'Pay the bill in bill.txt' --call call.json
        casa intent check --task "$(cat task.txt)" --call - < call.json

      Exit codes: 0 allowed, 1 refused or failed, 64 wrong usage.
      """)

  @Option(help: "What the user asked for.")
  var task: String

  @Option(help: ArgumentHelp("The call to be judged; - for standard input.", valueName: "file"))
  var call: String

  @OptionGroup var options: IntentOptions

  @Option(help: "text or json.")
  var format = OutputFormat.text

  func run() async throws {
    let given = try JSONValue(parsing: Array(try contents(of: call)))
    let tools = JSONValue.array([given["tool"] ?? .null] + (given["otherTools"]?.array ?? []))
    let step: JSONValue = [
      "tool": given["tool"]?["name"] ?? .null, "arguments": given["arguments"] ?? [:],
    ]
    let earlier = (given["results"]?.array ?? []).map { result -> JSONValue in
      ["tool": result["tool"] ?? "tool", "arguments": [:], "output": result["output"] ?? .null]
    }
    let element: JSONValue = ["id": "call", "task": .string(task), "tools": tools, "steps": .array(earlier + [step])]
    let suite = try LabelledSuite(parsing: JSONValue.object(["cases": [element]]).canonicalBytes)
    let evaluation = Evaluation(enabled: options.enabled, policy: try options.policy(), models: try options.models())
    guard let decision = await evaluation.run(suite).first?.outcomes.last?.decision else { throw ExitCode.failure }
    switch format {
    case .json: print(decision.json.canonicalText)
    case .text:
      for result in decision.results {
        print("\(result.check.rawValue): \(Self.text(result.answer)); \(result.explanation)")
        guard let judgement = result.judgement else { continue }
        let model = judgement.model.map { " by \($0)" } ?? ""
        print(String(format: "    score %.2f, threshold %.2f", judgement.score, judgement.threshold) + model)
        print("    judged: \(judgement.text)")
      }
      if case .refuse(let reason) = decision.verdict { print("refused: \(reason.rawValue)") } else { print("allowed") }
    }
    guard decision.verdict == .allow else { throw ExitCode.failure }
  }

  private static func text(_ answer: CheckAnswer) -> String {
    switch answer {
    case .allow: "allow"
    case .block(let reason): "block (\(reason.rawValue))"
    case .abstain(let why): "abstain (\(why))"
    }
  }
}
