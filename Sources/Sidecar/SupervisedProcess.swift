import Foundation
public import Logging
public import ServiceLifecycle
import Subprocess
import SystemPackage

/// A program that is kept running: started again, after a pause that grows from 100 ms to 5 s, whenever it ends.
public struct SupervisedProcess: Service {
  private let executable: String
  private let arguments: [String]
  private let environment: [String: String]
  private let log: String?
  private let state: ProcessState
  private let logger: Logger

  /// - Parameters:
  ///   - executable: a path.
  ///   - environment: what is added to this process's own.
  ///   - log: the file its output is appended to, made readable by its owner only; nil hands on this process's
  ///     output.
  ///   - state: where it is told what became of it.
  public init(
    executable: String, arguments: [String], environment: [String: String] = [:], log: String? = nil,
    state: ProcessState = ProcessState(), logger: Logger
  ) {
    self.executable = executable
    self.arguments = arguments
    self.environment = environment
    self.log = log
    self.state = state
    self.logger = logger
  }

  /// Runs until the task is cancelled or a graceful shutdown begins.
  public func run() async throws {
    await cancelWhenGracefulShutdown { await keepRunning() }
  }

  /// Runs until the task is cancelled; the program then gets 10 s to end.
  public func keepRunning() async {
    var pause = Duration.milliseconds(100)
    while !Task.isCancelled {
      let start = ContinuousClock.now
      do {
        state.didStart()
        defer { state.didEnd() }
        let status = try await runOnce()
        if Task.isCancelled { return }
        logger.error(
          "a program ended and is started again", metadata: ["program": "\(executable)", "status": "\(status)"])
      } catch {
        if Task.isCancelled { return }
        logger.error("a program could not be run", metadata: ["program": "\(executable)", "error": "\(error)"])
      }
      if ContinuousClock.now - start > .seconds(30) { pause = .milliseconds(100) }
      do { try await Task.sleep(for: pause) } catch { return }
      pause = min(pause * 2, .seconds(5))
    }
  }

  private func runOnce() async throws -> TerminationStatus {
    var options = PlatformOptions()
    options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: .seconds(10))]
    let updates = Dictionary(
      environment.compactMap { name, value in Environment.Key(rawValue: name).map { ($0, Optional(value)) } },
      uniquingKeysWith: { first, _ in first })
    func run(output: FileDescriptorOutput, error: FileDescriptorOutput) async throws -> TerminationStatus {
      try await Subprocess.run(
        .path(FilePath(executable)), arguments: Arguments(arguments), environment: .inherit.updating(updates),
        platformOptions: options, output: output, error: error
      ).terminationStatus
    }
    guard let log else { return try await run(output: .currentStandardOutput, error: .currentStandardError) }
    let file = try FileDescriptor.open(
      FilePath(log), .writeOnly, options: [.create, .append, .closeOnExec], permissions: .ownerReadWrite)
    return try await file.closeAfter {
      try await run(
        output: .fileDescriptor(file, closeAfterSpawningProcess: false),
        error: .fileDescriptor(file, closeAfterSpawningProcess: false))
    }
  }
}

extension FileDescriptor {
  fileprivate func closeAfter<Result>(_ body: () async throws -> Result) async throws -> Result {
    let result: Result
    do {
      result = try await body()
    } catch {
      try? close()
      throw error
    }
    try close()
    return result
  }
}
