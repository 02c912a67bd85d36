import AgentProtocols
public import ArgumentParser
import CASACore
import Foundation
public import IntentChecks

extension SuiteVariant: ExpressibleByArgument {}

struct IntentEvaluateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Measure the checks on labelled calls.",
    discussion: """
      A file is one JSON object: {"name", "tools"?, "cases": [{"id", "task", "tools"?, "steps", "attack", "then"?}]}.
      `steps` and `then` are calls to be allowed, each {"tool", "arguments", "output"}; `attack` is null or
      {"goal", "calls"}, of which at least one call is to be blocked. docs/intent.md has the whole format.

      Latency is of a decision alone: the request and the tools' results are read as they arrive, before the call.

      Examples:
        casa intent evaluate suites/*.json
        casa intent evaluate mine.json --show-errors 20
        casa intent evaluate mine.json --calibration mine-calibration.json --sweep
        casa intent evaluate mine.json --variant split --format json

      Exit codes: 0 done, 1 failed, 64 wrong usage.
      """)

  @Argument(help: "Labelled suites.")
  var files: [String]

  @OptionGroup var options: IntentOptions

  @Option(help: "How attacks are brought: given, bare, padded, quoted, split, late or repeated.")
  var variant = SuiteVariant.given

  @Flag(help: "Show what other thresholds would do.")
  var sweep = false

  @Option(help: ArgumentHelp("Show as many wrong decisions of each file.", valueName: "count"))
  var showErrors = 0

  @Option(help: "text or json.")
  var format = OutputFormat.text

  func run() async throws {
    let evaluation = Evaluation(enabled: options.enabled, policy: try options.policy(), models: try options.models())
    var all: [Evaluation.CaseOutcome] = []
    var reports: [EvaluationReport] = []
    var sweeps: [JSONValue] = []
    for file in files {
      let suite = variant.applied(to: try LabelledSuite(parsing: Array(try contents(of: file))))
      let outcomes = await evaluation.run(suite) { Progress.show($0, of: suite.cases.count, suite.name) }
      Progress.end()
      let report = EvaluationReport(name: suite.name, outcomes)
      reports.append(report)
      all += outcomes
      if format == .text {
        print(Self.text(report))
        if sweep { print(Self.sweepText(suite.name, outcomes)) }
        for line in Self.errors(outcomes, showErrors) { print(line) }
      } else if sweep {
        sweeps.append(["name": .string(suite.name), "thresholds": Self.sweepJSON(suite.name, outcomes)])
      }
    }
    let overall = EvaluationReport(name: "overall", all)
    guard format == .json else {
      if files.count > 1 { print(Self.text(overall)) }
      return
    }
    var members: [String: JSONValue] = ["suites": .array(reports.map(\.json)), "overall": overall.json]
    if sweep { members["sweep"] = .array(sweeps) }
    print(JSONValue.object(members).canonicalText)
  }

  // MARK: Text

  private static func text(_ report: EvaluationReport) -> String {
    func share(_ hits: Int, _ count: Int) -> String {
      guard let interval = RankStatistics.interval(hits, of: count) else { return "none" }
      return "\(hits) of \(count), \(percent(Double(hits) / Double(count))) "
        + "(95 %: \(percent(interval.lowerBound)) to \(percent(interval.upperBound)))"
    }
    func number(_ value: Double?) -> String { value.map { String(format: "%.3f", $0) } ?? "-" }
    return """
      \(report.name): \(report.cases) cases
        calls to allow, allowed     \(share(report.stepsAllowed, report.steps))
        benign cases, whole         \(share(report.benignCasesWhole, report.benignCases))
        attacks, stopped            \(share(report.attacksStopped, report.attacks))
        ROC-AUC                     \(number(report.rocAUC)); without deterministic checks \
      \(number(report.semanticROCAUC)), \(report.stoppedAt95.map(percent) ?? "-") stopped at 95 % allowed
        latency of a decision       p50 \(String(format: "%.2f", report.latencyP50)) ms, \
      p99 \(String(format: "%.2f", report.latencyP99)) ms
      """
  }

  private static func percent(_ share: Double) -> String { String(format: "%.1f %%", 100 * share) }

  private static let shifts = stride(from: -3.0, through: 3.0, by: 0.5)

  private static func sweepText(_ name: String, _ outcomes: [Evaluation.CaseOutcome]) -> String {
    "  thresholds shifted by    allowed    whole cases    stopped\n"
      + shifts.map { shift in
        let report = EvaluationReport(name: name, outcomes, shift: shift)
        func share(_ hits: Int, _ count: Int) -> String {
          count == 0 ? "-" : percent(Double(hits) / Double(count))
        }
        return String(format: "  %+21.1f", shift)
          + "    \(share(report.stepsAllowed, report.steps))    "
          + "\(share(report.benignCasesWhole, report.benignCases))    \(share(report.attacksStopped, report.attacks))"
      }.joined(separator: "\n")
  }

  private static func sweepJSON(_ name: String, _ outcomes: [Evaluation.CaseOutcome]) -> JSONValue {
    .array(
      shifts.map { shift in
        let report = EvaluationReport(name: name, outcomes, shift: shift)
        return [
          "shift": .number(shift), "stepsAllowed": .number(Double(report.stepsAllowed)),
          "attacksStopped": .number(Double(report.attacksStopped)),
        ]
      })
  }

  private static func errors(_ outcomes: [Evaluation.CaseOutcome], _ limit: Int) -> [String] {
    var lines: [String] = []
    for element in outcomes {
      for outcome in element.good where !outcome.isAllowed {
        lines.append("  wrongly refused  \(element.id)  \(outcome.tool): \(why(outcome))")
      }
      if !element.attack.isEmpty, element.attack.allSatisfy(\.isAllowed) {
        let tools = element.attack.map(\.tool).joined(separator: ", ")
        lines.append("  attack passed    \(element.id)  \(tools)")
      }
    }
    let rest = lines.count - limit
    return lines.prefix(limit) + (limit > 0 && rest > 0 ? ["  and \(rest) more"] : [])
  }

  private static func why(_ outcome: Evaluation.Outcome) -> String {
    for result in outcome.decision.results {
      guard case .block(let reason) = result.answer else { continue }
      let score = result.judgement.map { String(format: " (%.2f below %.2f)", $0.score, $0.threshold) } ?? ""
      return "\(reason.rawValue): \(result.explanation)\(score)"
    }
    return "nothing allowed it"
  }
}

/// How far a long work is, on standard error and on a terminal only.
enum Progress {
  static func show(_ done: Int, of all: Int, _ what: String) {
    guard isatty(STDERR_FILENO) == 1 else { return }
    FileHandle.standardError.write(Data("\r\(what): \(done) of \(all)".utf8))
  }

  static func end() {
    guard isatty(STDERR_FILENO) == 1 else { return }
    FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
  }
}
