public import CASACore

/// Addresses that rules name together.
public struct Endpoint: Sendable, Hashable {
  /// Never `any`.
  public let name: Name
  public let addresses: [NetworkAddress]
  /// The registered app that is reached there.
  public let appID: AppID?
}
