public import AsyncHTTPClient
import Synchronization

/// Asks an LLM at a server of OpenAI's chat completions API. A borderline first answer is followed by others, which are
/// asked for at once; then the mean counts.
public struct LLMVerifier: IntentVerifying {
  /// Where samples are to differ.
  private static let furtherTemperature = 0.7

  private let client: ModelClient
  private let accepted = AcceptedForm()

  /// - Parameter http: made with `ModelEndpoint.clientConfiguration`, and shut down by whoever made it.
  public init(_ endpoint: ModelEndpoint, http: HTTPClient) { self.init(ModelClient(endpoint, http: http)) }

  init(_ client: ModelClient) { self.client = client }

  public var model: String { client.endpoint.model }

  public func opinion(on question: VerifierQuestion) async throws(ModelUnavailable) -> VerifierOpinion {
    let deadline = client.deadline
    let sampling = client.endpoint.sampling
    let first = try await sample(question, temperature: 0, until: deadline)
    var answers = [first]
    if sampling.borderline.contains(first.score), sampling.maximum > 1 {
      answers += try await furtherSamples(sampling.maximum - 1, of: question, until: deadline)
    }
    guard let opinion = VerifierOpinion(combining: answers) else { throw .malformedAnswer(.notAnOpinion) }
    return opinion
  }

  /// All of them, or none: a doubt that can't be settled stays one.
  private func furtherSamples(
    _ count: Int, of question: VerifierQuestion, until deadline: ContinuousClock.Instant
  ) async throws(ModelUnavailable) -> [VerifierAnswer] {
    let samples = await withTaskGroup(of: Result<VerifierAnswer, ModelUnavailable>.self) { group in
      for _ in 0..<count {
        group.addTask {
          do throws(ModelUnavailable) {
            return .success(try await sample(question, temperature: Self.furtherTemperature, until: deadline))
          } catch {
            return .failure(error)
          }
        }
      }
      var samples: [Result<VerifierAnswer, ModelUnavailable>] = []
      for await sample in group {
        samples.append(sample)
        if case .failure = sample { group.cancelAll() }
      }
      return samples
    }
    // In the order they came: the first failure is the one that ended the others.
    var answers: [VerifierAnswer] = []
    for sample in samples { answers.append(try sample.get()) }
    return answers
  }

  private func sample(
    _ question: VerifierQuestion, temperature: Double, until deadline: ContinuousClock.Instant
  ) async throws(ModelUnavailable) -> VerifierAnswer {
    var form = accepted.form
    while true {
      do throws(ModelUnavailable) {
        let answer = try await client.answer(until: deadline) { [form] in
          request(question, form: form, temperature: temperature)
        }
        accepted.remember(form)
        return answer
      } catch .refused(let status) where status == 400 || status == 422 {
        guard let simpler = form.simpler else { throw .refused(status: status) }
        form = simpler
      }
    }
  }

  private func request(
    _ question: VerifierQuestion, form: VerifierRequestForm, temperature: Double
  ) -> ModelRequest<VerifierAnswer> {
    let nonce = Nonce.random()
    let prompt = VerifierPrompt(question, nonce: nonce, boundary: .random())
    return ModelRequest(
      path: "/chat/completions",
      body: VerifierRequest.body(prompt, model: model, form: form, temperature: temperature),
      maximumAnswerBytes: VerifierAnswer.maximumBytes
    ) { (body: [UInt8]) throws(AnswerDefect) in
      try VerifierAnswer(parsing: body, nonce: nonce)
    }
  }
}

/// The most complete form of request that the server has accepted, so that the others are not tried each time.
private final class AcceptedForm: Sendable {
  private let value = Mutex(VerifierRequestForm.complete)

  var form: VerifierRequestForm { value.withLock { $0 } }

  func remember(_ form: VerifierRequestForm) { value.withLock { $0 = form } }
}
