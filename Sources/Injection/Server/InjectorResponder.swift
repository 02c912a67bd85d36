import AgentProtocols
import Foundation
import HTTPServing
import Hummingbird
import Logging
import NIOCore
import Synchronization

/// Answers the API server's reviews.
struct InjectorResponder: HTTPResponder {
  typealias Context = BasicRequestContext

  /// More reviews than these, of which each may have 3 MiB, are not taken in at once.
  static let maximumUnderWay = 64

  let admission: Admission
  let certificates: CertificateFiles
  let metrics: InjectorMetrics
  let underWay: UnderWay
  let logger: Logger

  func respond(to request: Request, context: Context) async throws -> Response {
    let path = request.head.path.map { $0.prefix { $0 != "?" } } ?? "/"
    guard let webhook = Admission.Webhook.allCases.first(where: { $0.path == path }) else {
      return probe(path, request.method) ?? Self.text(.notFound, "nothing is at this path\n")
    }
    guard request.method == .post else { return Self.text(.methodNotAllowed, "\(webhook.path) takes POST\n") }
    let start = ContinuousClock.now
    guard underWay.begin() else {
      metrics.count(webhook, .busy, duration: .zero)
      return Self.text(.serviceUnavailable, "too many reviews are under way; try again\n")
    }
    defer { underWay.end() }
    do throws(UnreadableReview) {
      let bytes = try await body(of: request)
      let answer: AdmissionResponse
      do throws(UnanswerableReview) {
        answer = try admission.response(to: bytes, by: webhook)
      } catch {
        throw UnreadableReview(status: .badRequest, description: error.description)
      }
      let duration = ContinuousClock.now - start
      switch answer.outcome {
      case .allowed(let patch): metrics.count(webhook, patch.isEmpty ? .allowed : .patched, duration: duration)
      case .refused(let refusal):
        metrics.count(webhook, .refused, duration: duration)
        logger.info(
          "refused", metadata: ["webhook": "\(webhook.rawValue)", "uid": "\(answer.uid)", "why": "\(refusal)"])
      }
      return Self.response(.ok, ByteBuffer(bytes: answer.json.canonicalBytes), "application/json")
    } catch {
      metrics.count(webhook, .malformed, duration: ContinuousClock.now - start)
      return Self.text(error.status, error.description + "\n")
    }
  }

  /// How the server is; nil for another path.
  func probe(_ path: some StringProtocol, _ method: HTTPRequest.Method) -> Response? {
    guard path == "/healthz" || path == "/readyz" else { return nil }
    guard method == .get || method == .head else { return Self.text(.methodNotAllowed, "\(path) takes GET\n") }
    guard path == "/readyz" else { return Self.text(.ok, "ok\n") }
    guard certificates.expires > Date() else { return Self.text(.serviceUnavailable, "the certificate has expired\n") }
    return Self.text(.ok, "ready\n")
  }

  private func body(of request: Request) async throws(UnreadableReview) -> [UInt8] {
    guard request.headers[.contentEncoding] == nil, let type = request.headers[.contentType],
      ContentType.isUTF8(type, of: "application/json")
    else {
      throw UnreadableReview(status: .unsupportedMediaType, description: "`Content-Type` must be application/json")
    }
    let maximum = AdmissionReview.maximumBytes
    let tooLarge = UnreadableReview(
      status: .contentTooLarge, description: "a review has at most \(maximum) bytes")
    if let declared = request.headers[.contentLength].flatMap({ Int($0) }), declared > maximum { throw tooLarge }
    var bytes: [UInt8] = []
    do {
      for try await chunk in request.body {
        guard bytes.count + chunk.readableBytes <= maximum else { throw tooLarge }
        bytes.append(contentsOf: chunk.readableBytesView)
      }
    } catch let error as UnreadableReview {
      throw error
    } catch is ArrivedTooLate {
      throw UnreadableReview(status: .requestTimeout, description: "the review did not arrive in time")
    } catch {
      throw UnreadableReview(status: .badRequest, description: "the review could not be read to its end")
    }
    return bytes
  }

  static func text(_ status: HTTPResponse.Status, _ text: String) -> Response {
    response(status, ByteBuffer(string: text), "text/plain; charset=utf-8")
  }

  static func response(_ status: HTTPResponse.Status, _ body: ByteBuffer, _ type: String) -> Response {
    Response(
      status: status, headers: [.contentType: type, .contentLength: String(body.readableBytes)],
      body: ResponseBody(byteBuffer: body))
  }
}

/// A request that brings no review.
private struct UnreadableReview: Error {
  let status: HTTPResponse.Status
  let description: String
}

/// How many reviews are being read or decided about.
final class UnderWay: Sendable {
  private let count = Atomic(0)

  /// Whether one more may begin.
  func begin() -> Bool {
    if count.wrappingAdd(1, ordering: .relaxed).newValue <= InjectorResponder.maximumUnderWay { return true }
    end()
    return false
  }

  func end() { count.wrappingSubtract(1, ordering: .relaxed) }
}
