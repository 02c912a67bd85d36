import Foundation

/// What sentence-transformers makes of texts, and the models it was given. `golden/make.py` writes it.
enum Golden {
  struct Text: Decodable {
    let text: String
    let tokens: [Int32]
  }

  struct TinyText: Decodable {
    let text: String
    let tokens: [Int32]
    let embedding: [Float]
  }

  struct Pair: Decodable {
    let first: String
    let second: String
    let tokens: [Int32]
    let types: [Int]
    let score: Float
  }

  struct Tiny: Decodable {
    let firstTokenF16: [TinyText]
    let meanBF16: [TinyText]
    let crossEncoder: [Pair]

    enum CodingKeys: String, CodingKey {
      case firstTokenF16 = "tiny-first-token-f16"
      case meanBF16 = "tiny-mean-bf16"
      case crossEncoder = "tiny-cross-encoder"
    }
  }

  private static let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// `scripts/setup` puts it there; a test fails without it.
  static var defaultModel: String { repository.path + "/models/all-MiniLM-L6-v2" }

  static func path(_ name: String) -> String { repository.path + "/Tests/TextEmbeddingTests/golden/" + name }

  static func texts() throws -> [Text] {
    try JSONDecoder().decode([Text].self, from: Data(contentsOf: URL(fileURLWithPath: path("texts.json"))))
  }

  static func tiny() throws -> Tiny {
    try JSONDecoder().decode(Tiny.self, from: Data(contentsOf: URL(fileURLWithPath: path("tiny.json"))))
  }

  /// The default model's embeddings of `texts()`, exact to 2 · 10^-5.
  static func embeddings() throws -> [[Float]] {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path("embeddings.i16"))))
    let values = stride(from: 0, to: bytes.count, by: 2).map {
      Float(Int16(bitPattern: UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8)) / 32767
    }
    return stride(from: 0, to: values.count, by: 384).map { Array(values[$0..<$0 + 384]) }
  }
}

/// A copy of a small model, to be spoilt.
final class TemporaryModel {
  let path: String

  init(_ name: String = "tiny-first-token-f16") throws {
    path = FileManager.default.temporaryDirectory.path + "/casa-model-" + UUID().uuidString
    try FileManager.default.copyItem(atPath: Golden.path(name), toPath: path)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func remove(_ file: String) throws { try FileManager.default.removeItem(atPath: path + "/" + file) }

  func text(_ file: String) throws -> String { try String(contentsOfFile: path + "/" + file, encoding: .utf8) }

  func replace(_ text: String, with replacement: String, in file: String) throws {
    let before = try self.text(file)
    guard before.contains(text) else { throw CocoaError(.fileReadCorruptFile) }
    try before.replacingOccurrences(of: text, with: replacement)
      .write(toFile: path + "/" + file, atomically: true, encoding: .utf8)
  }
}

/// The greatest difference between numbers at the same index; infinite when there are not equally many.
func greatestDifference(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).reduce(0) { max($0, ($1.0 - $1.1).magnitude) }
}
