package import CASACore
import Foundation

/// An app's id and secret.
package struct ClientIdentity: Sendable {
  let id: AppID
  let secret: String

  package init(id: AppID, secret: String) {
    self.id = id
    self.secret = secret
  }

  /// `client_secret_basic`; both parts are of characters that form encoding leaves as they are.
  var authorization: String { "Basic " + Data("\(id):\(secret)".utf8).base64EncodedString() }
}
