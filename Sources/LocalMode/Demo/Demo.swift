public import Logging
public import Sidecar

/// The demonstration: the banking example behind real sidecars, played through faithfully and in every way an agent
/// could cheat, with what must come of each.
public struct Demo: Sendable {
  public struct Options: Sendable {
    /// Python with the packages of `examples/banking/requirements.txt`.
    public var python: String
    /// The folder `examples/banking`.
    public var example: String
    /// Where the system keeps its files; made when it is missing.
    public var directory: String
    public var executable: String
    public var isColoured: Bool
    /// A real LLM; nil for the scripted stand-in.
    public var llm: LLM?

    public struct LLM: Sendable {
      public let baseURL: HTTPEndpoint
      public let apiKey: String
      public let model: String

      public init(baseURL: HTTPEndpoint, apiKey: String, model: String) {
        self.baseURL = baseURL
        self.apiKey = apiKey
        self.model = model
      }
    }

    public init(
      python: String, example: String, directory: String, executable: String, isColoured: Bool, llm: LLM?
    ) {
      self.python = python
      self.example = example
      self.directory = directory
      self.executable = executable
      self.isColoured = isColoured
      self.llm = llm
    }
  }

  /// What the demonstration found.
  public struct Outcome: Sendable {
    public let json: String
    public let held: Int
    public let failed: Int
  }

  private let options: Options
  private let logger: Logger
  private let output: @Sendable (String) -> Void

  /// - Parameter output: gets the table line by line.
  public init(options: Options, logger: Logger, output: @escaping @Sendable (String) -> Void) {
    self.options = options
    self.logger = logger
    self.output = output
  }

  /// Plays every scenario.
  /// - Throws: `LocalModeError` when a part can't be started; a scenario that goes wrong is part of the outcome.
  public func run() async throws -> Outcome {
    let ports = try await DemoPorts()
    let files = SystemFiles(directory: options.directory)
    try files.prepare(apps: [])
    let key = options.llm?.apiKey ?? "demo-key-held-by-the-sidecar"
    let keyFile = files.directory + "/llm-api-key"
    try SystemFiles.write(key + "\n", to: keyFile)
    let system = try ports.system(llm: options.llm?.baseURL ?? ports.standIn, apiKeyFile: keyFile)
    let stack = LocalStack(
      system: system, directory: options.directory, executable: options.executable, logger: logger)
    let finished = Collected()
    try await stack.withStack { running in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for process in processes(ports, files: files) { group.addTask { await process.keepRunning() } }
        defer { group.cancelAll() }
        let play = try DemoPlay(
          options: options, ports: ports, running: running, apiKey: key, output: output)
        try await play.awaitApps()
        await finished.set(try await play.run())
      }
    }
    guard let outcome = await finished.outcome else { throw LocalModeError("the demonstration did not end") }
    return outcome
  }

  private actor Collected {
    private(set) var outcome: Outcome?
    func set(_ outcome: Outcome) { self.outcome = outcome }
  }

  /// The apps, each knowing only its sidecar's addresses.
  private func processes(_ ports: DemoPorts, files: SystemFiles) -> [SupervisedProcess] {
    func python(_ name: String, _ arguments: [String]) -> SupervisedProcess {
      SupervisedProcess(
        executable: options.python, arguments: ["\(options.example)/\(name).py"] + arguments,
        // The agent gets no key: its sidecar has it.
        environment: ["OPENAI_API_KEY": "none", "OPENAI_BASE_URL": ""], log: files.log("app-\(name)"), logger: logger)
    }
    var processes = [
      python("bank_server", ["--port", String(ports.bank)]),
      python(
        "agent",
        [
          "--port", String(ports.agent), "--mcp-url", "http://127.0.0.1:\(ports.agentToBank)/mcp",
          "--llm-base-url", ports.agentToLLM(options.llm?.baseURL ?? ports.standIn),
          "--llm-model", options.llm?.model ?? "casa-scripted-standin", "--allow-misbehave",
        ]),
    ]
    if options.llm == nil { processes.append(python("llm_standin", ["--port", String(ports.llm)])) }
    return processes
  }
}
