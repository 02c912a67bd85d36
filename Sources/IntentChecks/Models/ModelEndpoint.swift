public import CASACore

/// Where a model is served in OpenAI's wire format, and how long and how often it is asked.
public struct ModelEndpoint: Sendable {
  /// What `/embeddings` and `/chat/completions` are appended to, such as `https://api.openai.com/v1`.
  public let url: String
  /// The model's name as the server knows it.
  public let model: String
  /// nil for a server that asks for none.
  public let apiKey: APIKey?
  /// For one attempt, from connecting to the answer's last byte.
  public var attemptTimeout = Duration.milliseconds(2000)
  /// For a question with all its attempts, pauses and further samples.
  public var totalTimeout = Duration.milliseconds(2600)
  /// The most times one request is sent.
  public var attempts = 2
  /// The most requests under way at once.
  public var concurrency = 16
  /// The most requests that wait for others to end, at most until their deadline.
  public var waiting = 64
  /// How many components the model's embeddings have; nil takes the first answer's number as agreed.
  public var dimension: Int?
  /// How often a verifier asks.
  public var sampling = Sampling()

  /// When one opinion is not enough.
  public struct Sampling: Sendable, Hashable {
    /// The most opinions on one question; odd.
    public var maximum = 3
    /// A first opinion within these bounds is followed by the others.
    public var borderline = 0.25...0.75

    public init() {}
  }

  /// - Parameter allowsPlainHTTP: lets `url` be an http URL of a host other than this one. What is judged and the key
  ///   then travel for everyone between to read, and whoever is between can answer.
  /// - Throws: `InvalidField` naming what is wrong.
  public init(url: String, model: String, apiKey: APIKey? = nil, allowsPlainHTTP: Bool = false) throws(InvalidField) {
    guard let parsed = EndpointURL(url) else {
      throw InvalidField(
        "url", expected: "an http or https URL such as https://host/v1, without user, query or fragment")
    }
    guard parsed.isSecure || parsed.isLoopback || allowsPlainHTTP else {
      throw InvalidField(
        "url", expected: "an https URL, unless the host is 127.0.0.1, [::1] or localhost or `allow_plain_http` is true")
    }
    guard (1...256).contains(model.utf8.count), model.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw InvalidField("model", expected: "a model's name of 1 to 256 printable ASCII characters")
    }
    self.url = parsed.base
    self.model = model
    self.apiKey = apiKey
  }
}

/// An endpoint's base URL, so plain that every reader takes it apart the same way.
struct EndpointURL: Sendable, Hashable {
  /// Without slashes at the end.
  let base: String
  let isSecure: Bool
  let isLoopback: Bool

  init?(_ text: String) {
    guard text.utf8.count <= 2048 else { return nil }
    let rest: Substring
    if text.hasPrefix("https://") {
      (isSecure, rest) = (true, text.dropFirst(8))
    } else if text.hasPrefix("http://") {
      (isSecure, rest) = (false, text.dropFirst(7))
    } else {
      return nil
    }
    let authority = rest.prefix { $0 != "/" }
    let path = rest.dropFirst(authority.count)
    guard path.utf8.allSatisfy(Self.isPathByte), let host = Self.host(of: authority) else { return nil }
    isLoopback = host == "localhost" || host == "[::1]" || Self.isLoopbackAddress(host)
    base = String(text.prefix(text.count - path.reversed().prefix { $0 == "/" }.count))
  }

  /// The host in lowercase, without a port; nil when it isn't one.
  private static func host(of authority: Substring) -> String? {
    let host: Substring
    if authority.first == "[" {
      guard let end = authority.firstIndex(of: "]") else { return nil }
      host = authority[...end]
      guard host.dropFirst().dropLast().utf8.allSatisfy({ isHexDigit($0) || $0 == UInt8(ascii: ":") }) else {
        return nil
      }
    } else {
      host = authority.prefix { $0 != ":" }
      guard (1...253).contains(host.utf8.count), host.first != ".", host.utf8.allSatisfy(isHostByte) else { return nil }
    }
    let port = authority.dropFirst(host.count)
    guard port.isEmpty || (port.first == ":" && isPort(port.dropFirst())) else { return nil }
    return host.lowercased()
  }

  private static func isPort(_ text: Substring) -> Bool {
    guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return false }
    return UInt16(text).map { $0 > 0 } ?? false
  }

  /// Only the usual form: `127.1` and `0x7f000001` are left to others.
  private static func isLoopbackAddress(_ host: String) -> Bool {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0] == "127" else { return false }
    return parts.allSatisfy { part in
      part.utf8.allSatisfy { (0x30...0x39).contains($0) } && (part.count == 1 || part.first != "0")
        && UInt8(part) != nil
    }
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
  }

  private static func isHostByte(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || byte == UInt8(ascii: "-")
      || byte == UInt8(ascii: ".")
  }

  private static func isPathByte(_ byte: UInt8) -> Bool {
    isHostByte(byte) || byte == UInt8(ascii: "/") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "~")
  }
}
