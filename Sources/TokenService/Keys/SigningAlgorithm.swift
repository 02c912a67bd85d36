/// The signature algorithms tokens may carry (RFC 7518 section 3.4, RFC 8037). Never `none`, never symmetric.
public enum SigningAlgorithm: String, Sendable, Hashable, CaseIterable {
  case es256 = "ES256"
  case edDSA = "EdDSA"
}
