import ArgumentParser
import Foundation
import LocalMode
import Logging
import Sidecar

struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Watch a bank's good calls pass and an agent's bad ones be refused.",
    discussion: """
      Runs examples/banking behind real Envoys: a faithful agent first, then one that cheats in every way it can.
      With OPENAI_BASE_URL and OPENAI_API_KEY (and OPENAI_MODEL) set a real LLM selects the calls; otherwise a
      scripted stand-in does, and says so. Exits with 0 only if all went as it must.

      Examples:
        casa demo
        casa demo --format json
      """)

  @Option(help: "Python with the packages of examples/banking/requirements.txt.")
  var python = ".venv/bin/python"

  @Option(help: "The folder of the example.")
  var example = "examples/banking"

  @Option(help: "Where everything is kept; a new folder that is removed at the end if not given.")
  var directory: String?

  @Option(help: "text: a table as it happens; json: one object at the end.")
  var format = OutputFormat.text

  @OptionGroup var logging: LoggingOptions

  func run() async throws {
    var logger = logging.logger("casa.demo")
    // Between two tables only what went wrong.
    logger.logLevel = max(logger.logLevel, .error)
    guard FileManager.default.isExecutableFile(atPath: python), FileManager.default.fileExists(atPath: example) else {
      throw ValidationError(
        "expected Python at \(python) and the example at \(example); run `make demo` in CASA's folder, which sets both up"
      )
    }
    let folder = directory ?? NSTemporaryDirectory() + "casa-demo-\(ProcessInfo.processInfo.processIdentifier)"
    let isJSON = format == .json
    let demo = Demo(
      options: Demo.Options(
        python: python, example: example, directory: folder, executable: ownExecutable(),
        isColoured: !isJSON && isatty(STDOUT_FILENO) == 1 && ProcessInfo.processInfo.environment["NO_COLOR"] == nil,
        llm: try realLLM()), logger: logger
    ) { line in
      if isJSON { return }
      print(line)
      fflush(nil)
    }
    let outcome = try await demo.run()
    if isJSON { print(outcome.json) }
    guard outcome.failed == 0 else {
      FileHandle.standardError.write(Data("the parts' logs are in \(folder)/logs\n".utf8))
      throw ExitCode.failure
    }
    if directory == nil { try? FileManager.default.removeItem(atPath: folder) }
  }

  private func realLLM() throws -> Demo.Options.LLM? {
    let environment = ProcessInfo.processInfo.environment
    guard let base = environment["OPENAI_BASE_URL"], !base.isEmpty, let key = environment["OPENAI_API_KEY"],
      !key.isEmpty
    else { return nil }
    guard let endpoint = HTTPEndpoint(base) else {
      throw ValidationError("OPENAI_BASE_URL must be an http or https URL; got '\(base)'")
    }
    return Demo.Options.LLM(baseURL: endpoint, apiKey: key, model: environment["OPENAI_MODEL"] ?? "gpt-4.1-mini")
  }
}
