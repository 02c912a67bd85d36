import CASACore

/// How sentence-transformers makes one vector out of those of all tokens.
enum Pooling: Sendable, Hashable {
  /// The mean over all tokens.
  case mean
  /// The vector of the first token, which stands for the whole text.
  case classification
}

/// What sentence-transformers' files say beside the model: `modules.json`, `sentence_bert_config.json` and the
/// pooling's `config.json`. A folder without them is a plain model, whose vectors are averaged, as
/// sentence-transformers does.
struct SentenceModules: Sendable {
  let pooling: Pooling
  /// The most tokens of a text, when the folder says so.
  let limit: Int?

  init(_ folder: ModelFolder) throws(ModelError) {
    var pooling = Pooling.mean
    if let file = try folder.jsonIfPresent("modules.json") {
      guard let modules = file.value.array, !modules.isEmpty else { throw file.malformed("a list of modules", "none") }
      for (index, module) in modules.enumerated() {
        let type = module["type"]?.string ?? "none"
        // They are named by their class, whose module differs between versions.
        switch (index, type.split(separator: ".").last ?? "") {
        case (0, "Transformer"):
          guard module["path"]?.string ?? "" == "" else {
            throw file.unsupported("the transformer in the folder itself", "another path")
          }
        case (1, "Pooling"): pooling = try Self.pooling(folder, module["path"]?.string, file)
        // Embeddings are always normalized.
        case (2, "Normalize"): break
        default: throw file.unsupported("the modules Transformer, Pooling and Normalize", type)
        }
      }
    }
    self.pooling = pooling
    let settings = try folder.jsonIfPresent("sentence_bert_config.json")
    let limit = try settings?.integer("max_seq_length", in: 0...1_000_000, absent: 0) ?? 0
    self.limit = limit > 0 ? limit : nil
  }

  private static func pooling(
    _ folder: ModelFolder, _ path: String?, _ modules: JSONFile
  ) throws(ModelError) -> Pooling {
    guard let path, !path.isEmpty, !path.contains("/"), path != ".." else {
      throw modules.malformed("the name of a folder as the pooling's path", "none")
    }
    let file = try folder.json(path + "/config.json")
    let modes: [String]
    if let mode = try file.string("pooling_mode") {
      modes = [mode]
    } else {
      modes = (file.value.object ?? [:]).filter { $0.key.hasPrefix("pooling_mode_") && $0.value == true }.map(\.key)
    }
    switch modes {
    case ["mean"], ["pooling_mode_mean_tokens"]: return .mean
    case ["cls"], ["pooling_mode_cls_token"]: return .classification
    default: throw file.unsupported("pooling by the mean or by the first token", modes.sorted().joined(separator: ", "))
    }
  }
}
