/// What a refused request's sender gets, with the status 403.
public struct RefusalFields: Sendable {
  public let headers: [(name: String, value: String)]
  public let body: String

  public init(_ refusal: Refusal, record: RequestRecord?) {
    body = RefusalBody.text(refusal, record: record)
    var headers = [(name: "content-type", value: "application/json")]
    if let challenge = refusal.reason.bearerChallenge, record?.direction == EnforcementPoint.ingress {
      headers.append(("www-authenticate", challenge))
    }
    if let id = refusal.decisionID { headers.append(("x-casa-decision", id)) }
    if let pause = refusal.retryAfter { headers.append(("retry-after", String(pause))) }
    self.headers = headers
  }
}
