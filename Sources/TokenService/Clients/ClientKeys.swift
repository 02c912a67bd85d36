public import CASACore

/// Reads the public keys a client registers for `private_key_jwt`.
public enum ClientKeys {
  /// nil when there are none.
  /// - Throws: `InvalidField` for anything but a JWK set of 1 to 8 public keys we can verify with.
  public static func parse(_ json: JSONValue?) throws(InvalidField) -> JSONValue? {
    guard let json, json != .null else { return nil }
    guard let keys = json["keys"]?.array, (1...8).contains(keys.count),
      keys.allSatisfy({ VerifyingKey(jwk: $0) != nil })
    else {
      throw InvalidField("jwks", expected: "a JWK set of 1 to 8 public keys, EC P-256 (ES256) or Ed25519 (EdDSA)")
    }
    return json
  }
}
