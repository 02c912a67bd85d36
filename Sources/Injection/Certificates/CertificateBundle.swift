public import Foundation
import SwiftASN1
import X509

/// The authorities that the API server takes a webhook's certificate from: `caBundle`. While one replaces another it
/// holds both, so that at no moment a server shows what nobody knows.
///
/// Rotation: make the new authority; write the bundle with both; when every API server has it, serve a certificate of
/// the new authority; the old one leaves the bundle once it has expired.
public enum CertificateBundle {
  /// More authorities than these are cut off, the oldest first.
  static let maximumAuthorities = 4

  /// A bundle with a new authority first, and those of the bundle before that still hold and are no copies.
  /// - Parameters:
  ///   - authority: the new authority's certificate in PEM.
  ///   - bundle: the bundle as it is; empty when there is none.
  /// - Throws: `UnusableCertificate` when either can't be read.
  public static func adding(_ authority: String, to bundle: String, now: Date) throws(UnusableCertificate) -> String {
    var kept: [Certificate] = []
    for certificate in try certificates(authority) + certificates(bundle)
    where certificate.notValidAfter > now && !kept.contains(certificate) { kept.append(certificate) }
    var text = ""
    for certificate in kept.prefix(maximumAuthorities) { text += try certificate.pem() }
    return text
  }

  private static func certificates(_ text: String) throws(UnusableCertificate) -> [Certificate] {
    let found: [Certificate]
    do {
      found = try PEMDocument.parseMultiple(pemString: text).map { try Certificate(pemDocument: $0) }
    } catch {
      throw UnusableCertificate("a bundle must hold PEM certificates and nothing else")
    }
    guard !found.isEmpty || text.isEmpty else { throw UnusableCertificate("a bundle must hold PEM certificates") }
    return found
  }
}
