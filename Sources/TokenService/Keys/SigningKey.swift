import AgentProtocols
public import CASACore
import Crypto
import Foundation

/// One of the runtime's own keys: signs tokens and verifies them.
public struct SigningKey: Sendable {
  private enum Material: Sendable {
    case p256(P256.Signing.PrivateKey)
    case ed25519(Curve25519.Signing.PrivateKey)
  }

  public let id: SigningKeyID
  public let createdAt: Timestamp
  /// When another key took over; the key verifies until the last token it signed is gone.
  public let retiredAt: Timestamp?
  private let material: Material
  /// The verifying half, made once: deriving it costs a curve multiplication.
  let verifyingKey: VerifyingKey
  /// `{"alg":…,"kid":…,"typ":"at+jwt"}` in base64url.
  let encodedHeader: String

  public var algorithm: SigningAlgorithm { verifyingKey.algorithm }

  /// A new random key.
  public static func generate(_ algorithm: SigningAlgorithm, at now: Timestamp) -> SigningKey {
    let id = SigningKeyID.random(prefix: "key")
    return switch algorithm {
    case .es256: SigningKey(id: id, createdAt: now, retiredAt: nil, material: .p256(P256.Signing.PrivateKey()))
    case .edDSA:
      SigningKey(id: id, createdAt: now, retiredAt: nil, material: .ed25519(Curve25519.Signing.PrivateKey()))
    }
  }

  private init(id: SigningKeyID, createdAt: Timestamp, retiredAt: Timestamp?, material: Material) {
    self.id = id
    self.createdAt = createdAt
    self.retiredAt = retiredAt
    self.material = material
    verifyingKey =
      switch material {
      case .p256(let key): .p256(key.publicKey)
      case .ed25519(let key): .ed25519(key.publicKey)
      }
    let header: JSONValue = [
      "alg": .string(verifyingKey.algorithm.rawValue), "kid": .string(id.rawValue), "typ": "at+jwt",
    ]
    encodedHeader = Base64URL.encode(header.canonicalBytes)
  }

  /// Restores a stored key; nil when what is stored is not one.
  init?(
    id: SigningKeyID, algorithm: String, privateKey: String, createdAt: Timestamp, retiredAt: Timestamp?
  ) {
    guard let bytes = Base64URL.decode(privateKey.utf8) else { return nil }
    let material: Material?
    switch SigningAlgorithm(rawValue: algorithm) {
    case .es256: material = (try? P256.Signing.PrivateKey(rawRepresentation: bytes)).map(Material.p256)
    case .edDSA: material = (try? Curve25519.Signing.PrivateKey(rawRepresentation: bytes)).map(Material.ed25519)
    case nil: material = nil
    }
    guard let material else { return nil }
    self.init(id: id, createdAt: createdAt, retiredAt: retiredAt, material: material)
  }

  /// The private key for storage only.
  var storedPrivateKey: String {
    switch material {
    case .p256(let key): Base64URL.encode(Array(key.rawRepresentation))
    case .ed25519(let key): Base64URL.encode(Array(key.rawRepresentation))
    }
  }

  func retired(at moment: Timestamp) -> SigningKey {
    SigningKey(id: id, createdAt: createdAt, retiredAt: moment, material: material)
  }

  /// The JWS signature of `input` (RFC 7518 section 3.4: R and S; RFC 8037 section 3.1).
  func signature(of input: [UInt8]) throws -> [UInt8] {
    switch material {
    case .p256(let key): Array(try key.signature(for: input).rawRepresentation)
    case .ed25519(let key): Array(try key.signature(for: input))
    }
  }

  /// The public half as a JWK (RFC 7517).
  public var jwk: JSONValue {
    var members = verifyingKey.jwkParameters
    members["kid"] = .string(id.rawValue)
    members["alg"] = .string(algorithm.rawValue)
    members["use"] = "sig"
    return .object(members)
  }
}
