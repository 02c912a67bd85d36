import Crypto
import Foundation
import Injection
import SwiftASN1
import Testing
@_spi(FixedExpiryValidationTime) import X509

@Suite("Certificates of the webhooks")
struct CertificateTests {
  private let now = Date(timeIntervalSince1970: 1_800_000_000)
  private let day: TimeInterval = 86_400

  private func isTrusted(_ serving: ServingCertificate, by bundle: String, at moment: Date) async throws -> Bool {
    let roots = try PEMDocument.parseMultiple(pemString: bundle).map { try Certificate(pemDocument: $0) }
    var verifier = Verifier(rootCertificates: CertificateStore(roots)) {
      RFC5280Policy(fixedExpiryValidationTime: moment)
    }
    let leaf = try Certificate(pemEncoded: try serving.certificatePEM())
    guard case .validCertificate = await verifier.validate(leaf: leaf, intermediates: CertificateStore()) else {
      return false
    }
    return true
  }

  @Test("are for the names that were asked for, hold 90 days, and come from an authority that holds a year")
  func made() async throws {
    let authority = try CertificateAuthority(now: now)
    let names = ["casa-injector.casa-system.svc", "casa-injector.casa-system.svc.cluster.local"]
    let serving = try authority.serving(names, now: now)
    #expect(serving.names == names && authority.issued(serving))
    #expect(serving.lifetime.end == now + 90 * day && authority.lifetime.end == now + 365 * day)
    #expect(try await isTrusted(serving, by: authority.certificatePEM(), at: now))
    #expect(try await !isTrusted(serving, by: authority.certificatePEM(), at: now + 91 * day))
    #expect(try await !isTrusted(serving, by: CertificateAuthority(now: now).certificatePEM(), at: now))
    #expect(throws: UnusableCertificate.self) { try authority.serving([], now: now) }
    #expect(throws: UnusableCertificate.self) { try authority.serving(["*.example"], now: now) }
  }

  @Test("read back, and only with the key that is theirs")
  func readBack() throws {
    let authority = try CertificateAuthority(now: now)
    let serving = try authority.serving(["a.example"], now: now)
    let again = try CertificateAuthority(certificatePEM: authority.certificatePEM(), keyPEM: authority.keyPEM)
    #expect(again.issued(serving))
    #expect(
      try ServingCertificate(certificatePEM: serving.certificatePEM(), keyPEM: serving.keyPEM).names == ["a.example"])
    #expect(throws: UnusableCertificate.self) {
      try ServingCertificate(certificatePEM: serving.certificatePEM(), keyPEM: authority.keyPEM)
    }
    #expect(throws: UnusableCertificate.self) {
      try CertificateAuthority(certificatePEM: authority.certificatePEM(), keyPEM: serving.keyPEM)
    }
    for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
      #expect(throws: UnusableCertificate.self) {
        try CertificateAuthority(certificatePEM: text, keyPEM: serving.keyPEM)
      }
    }
  }

  @Test("are renewed when two thirds of their life are over")
  func renewal() throws {
    let lifetime = CertificateLifetime(begin: now, end: now + 90 * day)
    #expect(!lifetime.needsRenewal(at: now) && !lifetime.needsRenewal(at: now + 59 * day))
    #expect(lifetime.needsRenewal(at: now + 60 * day) && lifetime.needsRenewal(at: now + 91 * day))
    #expect(lifetime.needsRenewal(at: now - 1))
    // The last certificate of an authority does not outlive it.
    let authority = try CertificateAuthority(now: now)
    #expect(try authority.serving(["a.example"], now: now + 300 * day).lifetime.end == now + 365 * day)
  }

  @Test("are known all through the change of their authority")
  func rotation() async throws {
    let (old, new) = (try CertificateAuthority(now: now), try CertificateAuthority(now: now + 243 * day))
    let before = try CertificateBundle.adding(old.certificatePEM(), to: "", now: now)
    let both = try CertificateBundle.adding(new.certificatePEM(), to: before, now: now + 243 * day)
    for authority in [old, new] {
      let serving = try authority.serving(["a.example"], now: now + 243 * day)
      #expect(try await isTrusted(serving, by: both, at: now + 244 * day))
    }
    #expect(try CertificateBundle.adding(new.certificatePEM(), to: both, now: now + 243 * day) == both)
    let after = try CertificateBundle.adding(new.certificatePEM(), to: both, now: now + 366 * day)
    #expect(after == (try new.certificatePEM()))
    #expect(throws: UnusableCertificate.self) { try CertificateBundle.adding("x", to: before, now: now) }
  }
}
