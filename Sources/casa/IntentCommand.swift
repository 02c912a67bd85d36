import ArgumentParser

struct IntentCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "intent",
    abstract: "See how the checks judge calls: one, or labelled ones by the hundred.",
    discussion: """
      casa intent check --task 'Pay the bill' --call call.json        explain one decision
      casa intent evaluate suite.json                                  measure on labelled calls
      casa intent calibrate suite.json --output calibration.json       find thresholds from labelled calls
      """,
    subcommands: [IntentCheckCommand.self, IntentEvaluateCommand.self, IntentCalibrateCommand.self])
}
