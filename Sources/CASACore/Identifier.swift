#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An opaque identifier whose type says what it identifies, so that an app's id is never taken for a MAS's.
public struct Identifier<Subject>: Sendable, Hashable, CustomStringConvertible {
  public let rawValue: String

  /// Takes an identifier that this system made and stored or signed.
  public init(_ rawValue: String) { self.rawValue = rawValue }

  /// Takes an identifier from outside: 1 to 128 characters of `A-Z a-z 0-9 _ - .`; nil for anything else.
  public init?(validating text: String) {
    guard (1...128).contains(text.utf8.count), text.utf8.allSatisfy(isNameByte) else { return nil }
    rawValue = text
  }

  /// A new identifier after `prefix` and an underscore: 48 bits of the time in milliseconds, so that what is made
  /// together is stored together, and 80 random bits.
  public static func random(prefix: String) -> Self {
    var generator = SystemRandomNumberGenerator()
    let time = UInt64(truncatingIfNeeded: WallClock.system.now().milliseconds) << 16
    let words: [UInt64] = [time | UInt64(generator.next() as UInt16), generator.next()]
    let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) } }
    return Self(prefix + "_" + lowercaseHex(bytes))
  }

  public var description: String { rawValue }

  public static func == (a: Self, b: Self) -> Bool { haveSameBytes(a.rawValue, b.rawValue) }
}

/// What an `Identifier` can name; these have no values.
public enum MASSubject {}
public enum AppSubject {}
public enum UserInputSubject {}
public enum DecisionSubject {}
public enum TokenSubject {}
public enum SigningKeySubject {}
public enum NodeSubject {}
public enum ReaderSubject {}

/// A multi-agent system, the unit of tenancy.
public typealias MASID = Identifier<MASSubject>
/// A workload of a MAS; also its OAuth `client_id`.
public typealias AppID = Identifier<AppSubject>
/// One stored user prompt; it also names the session.
public typealias UserInputID = Identifier<UserInputSubject>
public typealias DecisionID = Identifier<DecisionSubject>
/// A token's `jti`.
public typealias TokenID = Identifier<TokenSubject>
/// A signing key's `kid`.
public typealias SigningKeyID = Identifier<SigningKeySubject>
/// A machine whose node guard reports flows.
public typealias NodeID = Identifier<NodeSubject>
/// Somebody who may read traces.
public typealias ReaderID = Identifier<ReaderSubject>

/// Letters, digits, `_`, `-` and `.` of ASCII.
func isNameByte(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
    true
  default: false
  }
}

/// Whether two strings are the same bytes. Swift's own comparison takes other characters for ASCII ones.
public func haveSameBytes(_ a: String, _ b: String) -> Bool {
  var (a, b) = (a, b)
  return a.withUTF8 { a in
    b.withUTF8 { b in
      guard a.count == b.count, let start = a.baseAddress, let other = b.baseAddress else { return a.count == b.count }
      return memcmp(start, other, a.count) == 0
    }
  }
}
