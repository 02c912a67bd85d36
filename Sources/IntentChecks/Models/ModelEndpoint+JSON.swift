public import CASACore
import Foundation

extension ModelEndpoint {
  private static let members: Set<String> = [
    "url", "model", "api_key_file", "api_key_env", "allow_plain_http", "timeout_ms", "total_timeout_ms", "attempts",
    "concurrency", "dimension", "samples", "borderline",
  ]

  /// Reads settings, and the key from where they say it is. `url` and `model` must be there; anything unknown is
  /// refused, so that a mistyped limit doesn't go unnoticed.
  ///
  /// Only for settings of whoever runs the service: they name a file to read and a host to send what it holds to.
  /// - Throws: `InvalidField` naming the member that is wrong; never with the key.
  public init(json: JSONValue) throws(InvalidField) {
    try self.init(json: json, environment: ProcessInfo.processInfo.environment)
  }

  init(json: JSONValue, environment: [String: String]) throws(InvalidField) {
    guard let members = json.object else { throw InvalidField("model", expected: "an object with `url` and `model`") }
    if members["api_key"] != nil {
      throw InvalidField("api_key", expected: "left out: name a file in `api_key_file`, or a variable in `api_key_env`")
    }
    if let unknown = members.keys.filter({ !Self.members.contains($0) }).min() {
      throw InvalidField(
        String(unknown.prefix(64)), expected: "left out: it is none of \(Self.members.sorted().joined(separator: ", "))"
      )
    }
    func text(_ name: String) throws(InvalidField) -> String? {
      guard let value = members[name], value != .null else { return nil }
      guard let text = value.string else { throw InvalidField(name, expected: "a text") }
      return text
    }
    func number(_ name: String, _ fallback: Int, _ range: ClosedRange<Int>) throws(InvalidField) -> Int {
      guard let value = members[name], value != .null else { return fallback }
      guard let number = value.integer.flatMap({ Int(exactly: $0) }), range.contains(number) else {
        throw InvalidField(name, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }
    var allowsPlainHTTP = false
    if let value = members["allow_plain_http"], value != .null {
      guard let flag = value.bool else { throw InvalidField("allow_plain_http", expected: "true or false") }
      allowsPlainHTTP = flag
    }
    var key: APIKey?
    let (file, variable) = (try text("api_key_file"), try text("api_key_env"))
    if let file {
      guard variable == nil else { throw InvalidField("api_key_env", expected: "left out beside `api_key_file`") }
      guard let found = APIKey(file: file) else {
        throw InvalidField("api_key_file", expected: "a readable file that holds a key on one line")
      }
      key = found
    } else if let variable {
      guard let found = environment[variable].flatMap({ APIKey($0) }) else {
        throw InvalidField("api_key_env", expected: "the name of an environment variable that holds a key")
      }
      key = found
    }
    try self.init(
      url: try text("url") ?? "", model: try text("model") ?? "", apiKey: key, allowsPlainHTTP: allowsPlainHTTP)
    let attempt = try number("timeout_ms", Int(attemptTimeout.wholeMilliseconds), 50...60_000)
    let total = try number("total_timeout_ms", max(attempt, Int(totalTimeout.wholeMilliseconds)), 50...120_000)
    guard total >= attempt else { throw InvalidField("total_timeout_ms", expected: "at least `timeout_ms`") }
    (attemptTimeout, totalTimeout) = (.milliseconds(attempt), .milliseconds(total))
    attempts = try number("attempts", attempts, 1...5)
    concurrency = try number("concurrency", concurrency, 1...256)
    let dimension = try number("dimension", 0, 1...EmbeddingsAnswer.maximumDimension)
    if dimension > 0 { self.dimension = dimension }
    sampling.maximum = try number("samples", sampling.maximum, 1...9)
    guard sampling.maximum % 2 == 1 else { throw InvalidField("samples", expected: "an odd number from 1 to 9") }
    if let value = members["borderline"], value != .null {
      guard let bounds = value.array, bounds.count == 2,
        case (.number(let low), .number(let high)) = (bounds[0], bounds[1]),
        0 <= low, low <= high, high <= 1
      else { throw InvalidField("borderline", expected: "two numbers from 0 to 1, the smaller one first") }
      sampling.borderline = low...high
    }
  }
}
