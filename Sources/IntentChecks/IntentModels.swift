import AgentProtocols
import CASACore
import Synchronization

/// What the checks of intent ask, and what they remember; shared by all sessions.
public final class IntentModels: Sendable {
  /// nil when there is no model: then the checks go by words alone, or abstain.
  public let embeddings: EmbeddingMemory?
  public let verifier: (any IntentVerifying)?
  let readings = ReadingMemory()
  private static let maximumAnnounced = 64
  private let announcements: AsyncStream<Announcement>
  private let announcing: AsyncStream<Announcement>.Continuation
  private let findings = Mutex(GenerationalCache<Question, Remembered>(capacity: 32_768))

  public init(embeddings: EmbeddingMemory? = nil, verifier: (any IntentVerifying)? = nil) {
    self.embeddings = embeddings
    self.verifier = verifier
    (announcements, announcing) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(Self.maximumAnnounced))
  }

  // MARK: Ahead of time

  /// A text that calls will be compared with.
  public enum Announcement: Sendable {
    case task(String)
    case result(ToolResult)
  }

  /// Has a text read and encoded soon, by `prepareAnnounced`. When more wait than there is room for, the oldest are
  /// read when a call needs them, which takes longer and makes no other difference.
  public func announce(_ text: Announcement) { announcing.yield(text) }

  /// Reads and encodes what is announced, until its task is cancelled.
  public func prepareAnnounced() async {
    for await announcement in announcements {
      switch announcement {
      case .task(let task): await prepare(task: task)
      case .result(let result): await prepare(result)
      }
    }
  }

  public func prepare(_ result: ToolResult) async {
    let passages = readings.reading(of: result).passages
    _ = try? await embeddings?.embeddings(of: passages.prefix(GroundingInquiry.maximumPassages).map(\.text))
  }

  public func prepare(task: String) async {
    _ = try? await embeddings?.embeddings(of: readings.reading(ofTask: task).clauses)
  }

  // MARK: Findings

  /// What a finding depends on.
  struct Question: Hashable, Sendable {
    let check: CheckName
    let policy: IntentPolicy
    /// Of the task, which may be long.
    let taskSHA256: String
    let tool: ToolDescription
    let argumentsSHA256: String
    /// What else the check looked at.
    let context: [String]

    init(
      _ check: CheckName, policy: IntentPolicy, task: String, tool: ToolDescription, argumentsSHA256: String,
      context: [String]
    ) {
      self.check = check
      self.policy = policy
      taskSHA256 = AgentProtocols.argumentsSHA256(["task": .string(task)])
      self.tool = tool
      self.argumentsSHA256 = argumentsSHA256
      self.context = context
    }
  }

  private struct Remembered {
    let finding: CheckFinding
    let until: ContinuousClock.Instant
  }

  private static let lifetime = Duration.seconds(3600)

  /// The finding on a question, made at most once an hour. One that no model's answer is behind is not kept.
  func finding(_ question: Question, _ make: () async -> CheckFinding) async -> CheckFinding {
    let now = ContinuousClock.now
    if let known = findings.withLock({ $0[question] }), known.until > now { return known.finding }
    let finding = await make()
    if finding.answer != .block(.intentModelUnavailable) {
      findings.withLock { $0[question] = Remembered(finding: finding, until: now + Self.lifetime) }
    }
    return finding
  }
}
