public import ArgumentParser
public import CASACore
import Foundation
public import IntentChecks

extension MatchStrategy: ExpressibleByArgument {}
extension CheckName: ExpressibleByArgument {}

/// With what the checks judge.
struct IntentOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The folder of the embedding model. Without it, models/all-MiniLM-L6-v2.", valueName: "folder"))
  var model = ModelChoice.standardFolder

  @Option(help: "What AI_POWERED_TOOL_MATCH asks: embeddings, llm_verifier or hybrid.")
  var strategy = MatchStrategy.embeddings

  @Option(
    help: ArgumentHelp("A file made by `casa intent calibrate`. Without it, the standard one.", valueName: "file"))
  var calibration: String?

  @Option(
    name: .customLong("check"),
    help: ArgumentHelp("Ask this check only; repeatable. Without it, all are asked.", valueName: "name"))
  var checks: [CheckName] = []

  var enabled: Set<CheckName> { checks.isEmpty ? Set(CheckName.allCases) : Set(checks) }

  func policy() throws -> IntentPolicy {
    var policy = IntentPolicy()
    policy.strategy = strategy
    if let calibration {
      policy.calibration = try Calibration(parsing: try contents(of: calibration))
    }
    return policy
  }

  func models() throws -> IntentModels {
    IntentModels(embeddings: EmbeddingMemory(try LocalSentenceEncoder(folder: model)))
  }
}

/// The bytes of a file, or of standard input for `-`.
func contents(of path: String) throws -> Data {
  guard path != "-" else { return FileHandle.standardInput.readDataToEndOfFile() }
  guard let data = FileManager.default.contents(atPath: path) else {
    throw ValidationError("expected a file that can be read; got '\(path)'")
  }
  return data
}
