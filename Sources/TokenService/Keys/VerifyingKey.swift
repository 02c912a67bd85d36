import AgentProtocols
import CASACore
import Crypto
import Foundation

/// A public key of ours or of a client's. The key fixes the algorithm; a token's `alg` is only compared with it.
enum VerifyingKey: Sendable {
  case p256(P256.Signing.PublicKey)
  case ed25519(Curve25519.Signing.PublicKey)

  var algorithm: SigningAlgorithm {
    switch self {
    case .p256: .es256
    case .ed25519: .edDSA
    }
  }

  /// Reads a public JWK (RFC 7517; RFC 7518 section 6.2, RFC 8037 section 2); nil for any other kind of key and
  /// for one that carries private members.
  init?(jwk: JSONValue) {
    guard jwk["d"] == nil, jwk["k"] == nil, let x = jwk["x"]?.string.flatMap({ Base64URL.decode($0.utf8) })
    else { return nil }
    if let use = jwk["use"], use.string != "sig" { return nil }
    switch (jwk["kty"]?.string, jwk["crv"]?.string) {
    case ("EC", "P-256"):
      guard let y = jwk["y"]?.string.flatMap({ Base64URL.decode($0.utf8) }), x.count == 32, y.count == 32,
        let key = try? P256.Signing.PublicKey(x963Representation: [4] + x + y)
      else { return nil }
      self = .p256(key)
    case ("OKP", "Ed25519"):
      guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: x) else { return nil }
      self = .ed25519(key)
    default: return nil
    }
    if let alg = jwk["alg"], alg.string != algorithm.rawValue { return nil }
  }

  var jwkParameters: [String: JSONValue] {
    switch self {
    case .p256(let key):
      let point = Array(key.x963Representation)
      return [
        "kty": "EC", "crv": "P-256", "x": .string(Base64URL.encode(point[1..<33])),
        "y": .string(Base64URL.encode(point[33..<65])),
      ]
    case .ed25519(let key):
      return ["kty": "OKP", "crv": "Ed25519", "x": .string(Base64URL.encode(Array(key.rawRepresentation)))]
    }
  }

  func isValid(signature: [UInt8], of input: [UInt8]) -> Bool {
    switch self {
    case .p256(let key):
      guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
      return key.isValidSignature(signature, for: input)
    case .ed25519(let key):
      return key.isValidSignature(signature, for: input)
    }
  }
}
