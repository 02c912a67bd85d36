/// What a refused request's sender gets.
public struct RefusalFields: Sendable {
  public let headers: [(name: String, value: String)]
  public let body: String

  /// - Parameter status: with which it is sent.
  public init(_ refusal: Refusal, record: RequestRecord?, status: RefusalBody.Status = .forbidden) {
    let body = RefusalBody(refusal, record: record, status: status)
    var headers = [(name: "content-type", value: body.contentType)]
    if let challenge = refusal.reason.bearerChallenge, record?.direction == .ingress {
      headers.append(("www-authenticate", challenge))
    }
    if let id = refusal.decisionID { headers.append(("x-casa-decision", id)) }
    if let pause = refusal.retryAfter { headers.append(("retry-after", String(pause))) }
    self.headers = headers
    self.body = body.text
  }
}
