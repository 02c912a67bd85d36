public import Crypto
public import Foundation
import SwiftASN1
import X509

/// A certificate authority of our own, which the API server knows the webhooks' server by: a key of P-256, and a
/// certificate over itself that vouches for servers directly and for no further authority.
public struct CertificateAuthority: Sendable {
  private let certificate: Certificate
  private let key: P256.Signing.PrivateKey

  /// Makes a new one, which holds for a year from `now`.
  /// - Throws: `UnusableCertificate`
  public init(now: Date, key: P256.Signing.PrivateKey = P256.Signing.PrivateKey()) throws(UnusableCertificate) {
    self.key = key
    do {
      let name = try DistinguishedName { CommonName("CASA webhooks") }
      let publicKey = Certificate.PublicKey(key.publicKey)
      certificate = try Certificate(
        version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
        notValidBefore: now - CertificateLifetime.allowance,
        notValidAfter: now + CertificateLifetime.authoritySeconds,
        issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
        extensions: Certificate.Extensions {
          Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
          Critical(KeyUsage(keyCertSign: true, cRLSign: true))
          SubjectKeyIdentifier(hash: publicKey)
        }, issuerPrivateKey: Certificate.PrivateKey(key))
    } catch {
      throw UnusableCertificate("a certificate authority can't be made: \(error)")
    }
  }

  /// Reads what `certificatePEM` and `keyPEM` wrote.
  /// - Throws: `UnusableCertificate` when either can't be read, or they don't belong together.
  public init(certificatePEM: String, keyPEM: String) throws(UnusableCertificate) {
    do {
      certificate = try Certificate(pemEncoded: certificatePEM)
    } catch {
      throw UnusableCertificate("the authority's certificate must be one PEM certificate")
    }
    do {
      key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM)
    } catch {
      throw UnusableCertificate("the authority's key must be a PEM key of P-256")
    }
    guard certificate.publicKey == Certificate.PublicKey(key.publicKey) else {
      throw UnusableCertificate("the authority's key must be that of its certificate")
    }
  }

  public var lifetime: CertificateLifetime {
    CertificateLifetime(begin: certificate.notValidBefore, end: certificate.notValidAfter)
  }

  /// - Throws: `UnusableCertificate`
  public func certificatePEM() throws(UnusableCertificate) -> String { try certificate.pem() }

  public var keyPEM: String { key.pemRepresentation }

  /// Makes a certificate for a server, which holds for 90 days from `now`, and no longer than the authority's own.
  /// - Parameter names: the DNS names by which the server is called.
  /// - Throws: `UnusableCertificate`
  public func serving(
    _ names: [String], now: Date, key: P256.Signing.PrivateKey = P256.Signing.PrivateKey()
  ) throws(UnusableCertificate) -> ServingCertificate {
    guard let first = names.first, names.allSatisfy({ WorkloadName.isName($0) }) else {
      throw UnusableCertificate("a serving certificate is for DNS names, such as casa-injector.casa-system.svc")
    }
    do {
      let publicKey = Certificate.PublicKey(key.publicKey)
      let certificate = try Certificate(
        version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
        notValidBefore: now - CertificateLifetime.allowance,
        notValidAfter: min(now + CertificateLifetime.servingSeconds, self.certificate.notValidAfter),
        issuer: self.certificate.subject, subject: DistinguishedName { CommonName(String(first.prefix(64))) },
        signatureAlgorithm: .ecdsaWithSHA256,
        extensions: Certificate.Extensions {
          Critical(BasicConstraints.notCertificateAuthority)
          Critical(KeyUsage(digitalSignature: true))
          try ExtendedKeyUsage([.serverAuth])
          SubjectAlternativeNames(names.map { .dnsName($0) })
          SubjectKeyIdentifier(hash: publicKey)
          AuthorityKeyIdentifier(
            keyIdentifier: SubjectKeyIdentifier(hash: self.certificate.publicKey).keyIdentifier)
        }, issuerPrivateKey: Certificate.PrivateKey(self.key))
      return ServingCertificate(certificate: certificate, key: key)
    } catch {
      throw UnusableCertificate("a serving certificate can't be made: \(error)")
    }
  }

  /// Whether this authority made a certificate.
  public func issued(_ serving: ServingCertificate) -> Bool {
    certificate.publicKey.isValidSignature(serving.certificate.signature, for: serving.certificate)
  }
}

extension Certificate {
  func pem() throws(UnusableCertificate) -> String {
    do {
      return try serializeAsPEM().pemString + "\n"
    } catch {
      throw UnusableCertificate("the certificate can't be written: \(error)")
    }
  }
}
