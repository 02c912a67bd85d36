import Administration
import CASACore
import NIOHTTP1

// What the runtime does not do ends the local system, whatever the reason.
extension RuntimeAdministration {
  func get(_ path: String) async throws(LocalModeError) -> JSONValue { try await asked(.GET, path) }

  func post(
    _ path: String, _ body: JSONValue, as client: ClientIdentity? = nil
  ) async throws(LocalModeError) -> JSONValue {
    try await asked(.POST, path, body, as: client)
  }

  func put(_ path: String, _ body: JSONValue) async throws(LocalModeError) -> JSONValue {
    try await asked(.PUT, path, body)
  }

  func token(_ form: [(String, String)], as client: ClientIdentity) async throws(LocalModeError) -> JSONValue {
    do throws(RuntimeFailure) {
      return try await post("/oauth/token", form: form, as: client)
    } catch {
      throw LocalModeError("POST /oauth/token: \(error)")
    }
  }

  private func asked(
    _ method: HTTPMethod, _ path: String, _ body: JSONValue? = nil, as client: ClientIdentity? = nil
  ) async throws(LocalModeError) -> JSONValue {
    do throws(RuntimeFailure) {
      return try await send(method, path, body, as: client)
    } catch {
      throw LocalModeError("\(method.rawValue) \(path): \(error)")
    }
  }
}
