import Logging
import NIOHPACK

/// Which of the service's parts answers a request.
struct AuthorizationRouter: Sendable {
  let check: CheckService
  let answers: AnswerService
  let plain: PlainService

  func exchange(for head: HPACKHeaders) -> HTTP2Exchange {
    guard head.first(name: ":method") == "POST", let path = head.first(name: ":path") else {
      return .refusal(HTTP2Answer(status: 405))
    }
    switch path {
    case PlainService.checkPath: return plain.check(head)
    case PlainService.recordsPath: return plain.takeRecords(head)
    case _ where !GRPC.isCall(head): return .refusal(HTTP2Answer(status: 415))
    case CheckService.path: return check.exchange(head)
    case AnswerService.path: return answers.exchange(head)
    default: return .refusal(GRPCStatus(.unimplemented, "there is no such method").trailersOnly)
    }
  }
}
