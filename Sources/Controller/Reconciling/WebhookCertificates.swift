import CASACore
import Foundation
import Injection
import Logging

/// Makes the certificate by which the API server knows the injector, and puts its authority where the API server looks:
/// into the webhooks' `caBundle`. Both are made anew in time.
struct WebhookCertificates: Sendable {
  let client: KubernetesClient
  let namespace: String
  let clock: WallClock
  let logger: Logger

  /// The Secret of the authority, and that of the server's certificate, which the injector mounts.
  static let authorityName = "casa-injector-ca"
  static let servingName = "casa-injector-tls"
  /// Both configurations of webhooks.
  static let webhooks = "casa-injector"
  /// How long a new authority is known before a certificate of it is served: every API server has it by then.
  private static let spread: TimeInterval = 60

  private var names: [String] {
    ["casa-injector.\(namespace).svc", "casa-injector.\(namespace).svc.cluster.local"]
  }

  /// Looks at all of it once, and makes what is missing or gets old.
  /// - Returns: after how long to look again.
  func reconcile() async throws -> Duration {
    let now = Date(timeIntervalSince1970: Double(clock.now().milliseconds) / 1000)
    let stored = try await secret(Self.authorityName)
    var authority = Self.authority(in: stored)
    var isNew = false
    if authority == nil || authority?.lifetime.needsRenewal(at: now) == true {
      let made = try CertificateAuthority(now: now)
      try await write(Self.authorityName, certificate: try made.certificatePEM(), key: made.keyPEM)
      logger.notice("a new authority for the webhooks' certificates was made")
      authority = made
      isNew = true
    }
    guard let authority else { return .seconds(60) }
    try await putIntoWebhooks(try authority.certificatePEM(), now: now)
    let servingSecret = try await secret(Self.servingName)
    let serving = Self.serving(in: servingSecret)
    let isGood =
      serving.map { serving in
        authority.issued(serving) && !serving.lifetime.needsRenewal(at: now) && Set(serving.names).isSuperset(of: names)
      } ?? false
    if isGood { return .seconds(3600) }
    // What still holds is served until everybody knows the new authority.
    if isNew, let serving, serving.lifetime.contains(now) { return .seconds(Int64(Self.spread)) }
    let made = try authority.serving(names, now: now)
    try await write(Self.servingName, certificate: try made.certificatePEM(), key: made.keyPEM)
    logger.notice("a new certificate for the webhooks was made")
    return .seconds(3600)
  }

  // MARK: Secrets

  private func secret(_ name: String) async throws(KubernetesError) -> KubernetesObject? {
    do throws(KubernetesError) {
      return try await client.get(.secrets, ObjectKey(namespace: namespace, name: name))
    } catch .notFound {
      return nil
    }
  }

  private static func pem(_ secret: KubernetesObject?, _ key: String) -> String? {
    secret?["data"]?[key]?.string.flatMap { Data(base64Encoded: $0) }.map { String(decoding: $0, as: UTF8.self) }
  }

  /// nil for what can't be read: it is made anew.
  private static func authority(in secret: KubernetesObject?) -> CertificateAuthority? {
    guard let certificate = pem(secret, "tls.crt"), let key = pem(secret, "tls.key") else { return nil }
    return try? CertificateAuthority(certificatePEM: certificate, keyPEM: key)
  }

  private static func serving(in secret: KubernetesObject?) -> ServingCertificate? {
    guard let certificate = pem(secret, "tls.crt"), let key = pem(secret, "tls.key") else { return nil }
    return try? ServingCertificate(certificatePEM: certificate, keyPEM: key)
  }

  private func write(_ name: String, certificate: String, key: String) async throws(KubernetesError) {
    try await client.apply(
      .secrets,
      [
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": [
          "name": .string(name), "namespace": .string(namespace),
          "labels": .object([SystemReconciler.managedByLabel: .string(SystemReconciler.managedBy)]),
        ],
        "data": [
          "tls.crt": .string(Data(certificate.utf8).base64EncodedString()),
          "tls.key": .string(Data(key.utf8).base64EncodedString()),
        ],
      ])
  }

  // MARK: Webhooks

  private func putIntoWebhooks(_ authority: String, now: Date) async throws {
    for resource in [KubernetesResource.mutatingWebhookConfigurations, .validatingWebhookConfigurations] {
      let key = ObjectKey(namespace: nil, name: Self.webhooks)
      let found: KubernetesObject
      do throws(KubernetesError) {
        found = try await client.get(resource, key)
      } catch {
        guard error == .notFound else { throw error }
        // In Istio mode nothing is mutated, and without an injector there is none.
        continue
      }
      var isChanged = false
      let hooks = try (found["webhooks"]?.array ?? []).map { hook -> JSONValue in
        guard hook["clientConfig"]?["service"]?["namespace"]?.string == namespace else { return hook }
        let old = hook["clientConfig"]?["caBundle"]?.string.flatMap { Data(base64Encoded: $0) }
          .map { String(decoding: $0, as: UTF8.self) }
        // One that can't be read is replaced.
        let bundle =
          try old.flatMap { try? CertificateBundle.adding(authority, to: $0, now: now) }
          ?? CertificateBundle.adding(authority, to: "", now: now)
        let encoded = JSONValue.string(Data(bundle.utf8).base64EncodedString())
        guard hook["clientConfig"]?["caBundle"] != encoded else { return hook }
        isChanged = true
        var members = hook.object ?? [:]
        var client = members["clientConfig"]?.object ?? [:]
        client["caBundle"] = encoded
        members["clientConfig"] = .object(client)
        return .object(members)
      }
      guard isChanged else { continue }
      // A list is replaced as a whole: refused when somebody else changed it meanwhile.
      try await client.patch(
        resource, key,
        [
          "metadata": ["resourceVersion": found.resourceVersion.map(JSONValue.string) ?? .null],
          "webhooks": .array(hooks),
        ])
    }
  }
}
