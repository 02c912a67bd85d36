import Crypto
import Foundation
import SwiftASN1
import X509

/// What a server shows, and the key by which it proves that it may.
public struct ServingCertificate: Sendable {
  let certificate: Certificate
  private let key: P256.Signing.PrivateKey

  init(certificate: Certificate, key: P256.Signing.PrivateKey) {
    self.certificate = certificate
    self.key = key
  }

  /// Reads what `certificatePEM` and `keyPEM` wrote.
  /// - Throws: `UnusableCertificate` when either can't be read, or they don't belong together.
  public init(certificatePEM: String, keyPEM: String) throws(UnusableCertificate) {
    do {
      certificate = try Certificate(pemEncoded: certificatePEM)
    } catch {
      throw UnusableCertificate("the serving certificate must be one PEM certificate")
    }
    do {
      key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM)
    } catch {
      throw UnusableCertificate("the server's key must be a PEM key of P-256")
    }
    guard certificate.publicKey == Certificate.PublicKey(key.publicKey) else {
      throw UnusableCertificate("the server's key must be that of its certificate")
    }
  }

  public var lifetime: CertificateLifetime {
    CertificateLifetime(begin: certificate.notValidBefore, end: certificate.notValidAfter)
  }

  /// The DNS names it is for.
  public var names: [String] {
    guard let found = try? certificate.extensions.subjectAlternativeNames else { return [] }
    return found.compactMap { name in
      guard case .dnsName(let text) = name else { return nil }
      return text
    }
  }

  /// - Throws: `UnusableCertificate`
  public func certificatePEM() throws(UnusableCertificate) -> String { try certificate.pem() }

  public var keyPEM: String { key.pemRepresentation }
}
