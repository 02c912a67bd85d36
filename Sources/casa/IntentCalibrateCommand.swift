import ArgumentParser
import CASACore
import Foundation
import IntentChecks

struct IntentCalibrateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Find from labelled calls where the checks draw the line.",
    discussion: """
      Writes a calibration that `casa intent evaluate --calibration` and a MAS's settings take. The files are those of
      `casa intent evaluate`, and must have calls to allow as well as attacks. Keep some data back to measure with.

      Examples:
        casa intent calibrate suites/*.json --output calibration.json

      Exit codes: 0 done, 1 failed, 64 wrong usage.
      """)

  @Argument(help: "Labelled suites.")
  var files: [String]

  @Option(help: ArgumentHelp("The folder of the embedding model.", valueName: "folder"))
  var model = ModelChoice.standardFolder

  @Option(help: ArgumentHelp("Where to write it; without it, standard output.", valueName: "file"))
  var output: String?

  func run() async throws {
    var suites: [LabelledSuite] = []
    for file in files { suites.append(try LabelledSuite(parsing: Array(try contents(of: file)))) }
    let models = IntentModels(embeddings: EmbeddingMemory(try LocalSentenceEncoder(folder: model)))
    let calibration = try await Calibrator(models: models).calibrate(suites) {
      FileHandle.standardError.write(Data("\($0)\n".utf8))
    }
    guard let calibration else {
      throw ValidationError("expected suites that have both calls to allow and attacks; these have not")
    }
    let json = try calibration.json + Data("\n".utf8)
    guard let output else {
      FileHandle.standardOutput.write(json)
      return
    }
    try json.write(to: URL(fileURLWithPath: output))
  }
}
