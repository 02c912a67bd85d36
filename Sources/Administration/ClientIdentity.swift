import AgentProtocols
package import CASACore

/// An app's id and secret.
package struct ClientIdentity: Sendable {
  let id: AppID
  let secret: String

  package init(id: AppID, secret: String) {
    self.id = id
    self.secret = secret
  }

  /// `client_secret_basic`
  var authorization: String { BasicCredentials.headerValue(userID: id.rawValue, password: secret) }
}
