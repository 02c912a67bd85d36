public import Foundation

/// From when until when a certificate holds.
public struct CertificateLifetime: Sendable, Hashable {
  /// That of a certificate authority: a year.
  public static let authoritySeconds: TimeInterval = 365 * 86_400
  /// That of a server: 90 days.
  public static let servingSeconds: TimeInterval = 90 * 86_400
  /// Clocks that are slow by less than this take a new certificate at once.
  static let allowance: TimeInterval = 300

  public let begin: Date
  public let end: Date

  public init(begin: Date, end: Date) {
    self.begin = begin
    self.end = end
  }

  /// Whether two thirds of it are over, or it has not begun: time to make another.
  public func needsRenewal(at moment: Date) -> Bool {
    moment < begin || moment >= begin + end.timeIntervalSince(begin) * 2 / 3
  }

  public func contains(_ moment: Date) -> Bool { begin <= moment && moment < end }
}

/// A certificate or key is not as it must be.
public struct UnusableCertificate: Error, Sendable, Hashable, CustomStringConvertible {
  /// What was expected; never a key.
  public let description: String

  public init(_ description: String) { self.description = description }
}
