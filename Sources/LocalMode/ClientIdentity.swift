import CASACore
import Foundation

/// An app's id and secret.
struct ClientIdentity: Sendable {
  let id: AppID
  let secret: String

  /// `client_secret_basic`; both parts are of characters that form encoding leaves as they are.
  var authorization: String { "Basic " + Data("\(id):\(secret)".utf8).base64EncodedString() }
}
