import Logging
import NIOHPACK

/// Which of the service's parts answers a request.
struct AuthorizationRouter: Sendable {
  private let check: CheckService
  private let answers: LLMAnswerService

  init(sidecars: SidecarDirectory, logger: Logger) {
    check = CheckService(sidecars: sidecars, logger: logger)
    answers = LLMAnswerService(sidecars: sidecars, logger: logger)
  }

  func exchange(for head: HPACKHeaders) -> HTTP2Exchange {
    guard head.first(name: ":method") == "POST", let path = head.first(name: ":path") else {
      return .refusal(HTTP2Answer(status: 405))
    }
    guard GRPC.isCall(head) else { return .refusal(HTTP2Answer(status: 415)) }
    switch path {
    case CheckService.path: return check.exchange(head)
    case LLMAnswerService.path: return answers.exchange(head)
    default: return .refusal(GRPCStatus(.unimplemented, "there is no such method").trailersOnly)
    }
  }
}
