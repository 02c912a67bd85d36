/// The tensors of a BERT model, whose names begin with `bert.` when the file was written with a head on top.
struct BertWeights: Sendable {
  private let file: SafetensorsFile
  private let prefix: String

  init(_ folder: ModelFolder) throws(ModelError) {
    file = try SafetensorsFile(path: folder.path("model.safetensors"))
    prefix = file.contains("bert.embeddings.word_embeddings.weight") ? "bert." : ""
  }

  private init(_ file: SafetensorsFile, prefix: String) {
    self.file = file
    self.prefix = prefix
  }

  /// The tensors beside the model itself.
  var head: BertWeights { BertWeights(file, prefix: "") }

  func tensor(_ name: String, shape: [Int]) throws(ModelError) -> Tensor {
    try file.tensor(prefix + name, shape: shape)
  }

  func malformed(_ expected: String, _ found: String) -> ModelError {
    .malformed(file: file.path, expected: expected, found: found)
  }
}
