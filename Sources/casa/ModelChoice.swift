import AgentProtocols
import AsyncHTTPClient
import CASACore
import Foundation
import IntentChecks
import Logging

/// The models of a runtime, as its command line names them.
struct ModelChoice {
  static let standardFolder = "models/all-MiniLM-L6-v2"

  let models: IntentModels
  private let http: HTTPClient?

  /// - Parameters:
  ///   - folder: nil for the standard one, which need not be there.
  ///   - file: a JSON object with the endpoints `embeddings` and `verifier`.
  init(folder: String?, file: String?, logger: Logger) throws {
    let settings = try file.map { try JSONValue(parsing: Array(try contents(of: $0))) }
    if let unknown = settings?.object?.keys.first(where: { !["embeddings", "verifier"].contains($0) }) {
      throw InvalidField("models", expected: "an object of embeddings and verifier; got \(unknown.prefix(64))")
    }
    let endpoints = try ["embeddings", "verifier"].map { try settings?[$0].map { try ModelEndpoint(json: $0) } }
    let http =
      settings == nil
      ? nil : HTTPClient(eventLoopGroupProvider: .singleton, configuration: ModelEndpoint.clientConfiguration)
    self.http = http
    var encoder: (any SentenceEncoding)?
    if let http, let endpoint = endpoints[0] {
      encoder = RemoteSentenceEncoder(endpoint, http: http)
    } else if let folder = folder ?? Self.standardFolderIfThere {
      encoder = try LocalSentenceEncoder(folder: folder)
    } else {
      logger.warning(
        "no embedding model: the checks of intent go by words alone",
        metadata: ["expected": "\(Self.standardFolder), or --model"])
    }
    if let encoder, let calibration = Calibration.standard, encoder.model != calibration.model {
      logger.warning(
        "the standard calibration means nothing for this embedding model; give each MAS one by `casa intent calibrate`",
        metadata: ["model": "\(encoder.model)", "calibrated": "\(calibration.model)"])
    }
    let verifier = http.flatMap { http in endpoints[1].map { LLMVerifier($0, http: http) } }
    models = IntentModels(embeddings: encoder.map(EmbeddingMemory.init), verifier: verifier)
  }

  private static var standardFolderIfThere: String? {
    FileManager.default.fileExists(atPath: standardFolder + "/model.safetensors") ? standardFolder : nil
  }

  func shutdown() async throws { try await http?.shutdown() }
}
