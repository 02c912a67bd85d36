import CASACore

/// The dimensions of a BERT model, from its `config.json`.
struct BertConfiguration: Sendable, Hashable {
  let hiddenSize: Int
  let layerCount: Int
  let headCount: Int
  let intermediateSize: Int
  let positionCount: Int
  let tokenTypeCount: Int
  let vocabularyCount: Int
  let normalizationEpsilon: Float

  init(_ folder: ModelFolder) throws(ModelError) {
    let file = try folder.json("config.json")
    let type = try file.string("model_type")
    guard type == "bert" else { throw file.unsupported("the model type bert", type ?? "none") }
    let activation = try file.string("hidden_act") ?? "gelu"
    guard activation == "gelu" else { throw file.unsupported("the activation gelu", activation) }
    let positions = try file.string("position_embedding_type") ?? "absolute"
    guard positions == "absolute" else { throw file.unsupported("absolute positions", positions) }
    hiddenSize = try file.integer("hidden_size", in: 1...8192)
    layerCount = try file.integer("num_hidden_layers", in: 1...128)
    headCount = try file.integer("num_attention_heads", in: 1...256)
    intermediateSize = try file.integer("intermediate_size", in: 1...65536)
    positionCount = try file.integer("max_position_embeddings", in: 8...8192)
    tokenTypeCount = try file.integer("type_vocab_size", in: 1...16, absent: 2)
    vocabularyCount = try file.integer("vocab_size", in: 1...Vocabulary.maximumCount)
    guard hiddenSize % headCount == 0 else {
      throw file.malformed("a hidden size that the heads share equally", "\(hiddenSize) for \(headCount)")
    }
    switch file.value["layer_norm_eps"] {
    case nil, .null?: normalizationEpsilon = 1e-12
    case .number(let value)? where value >= 0 && value < 1: normalizationEpsilon = Float(value)
    default: throw file.malformed("a number from 0 to 1 as `layer_norm_eps`", "another value")
    }
  }
}
