import Foundation
import Testing

@testable import TextEmbedding

@Suite struct ModelFolderTests {
  @Test func loadsTheDefaultModel() throws {
    let encoder = try SentenceEncoder(folder: Golden.defaultModel)
    #expect(encoder.name == "all-MiniLM-L6-v2")
    #expect(encoder.dimension == 384)
    #expect(encoder.tokenLimit == 256)
  }

  @Test func saysWhichFileIsMissing() {
    #expect(throws: ModelError.unreadable(file: "/nowhere/config.json", reason: "No such file or directory")) {
      try SentenceEncoder(folder: "/nowhere")
    }
  }

  @Test(arguments: ["model.safetensors", "vocab.txt"])
  func needsWeightsAndVocabulary(file: String) throws {
    let folder = try TemporaryModel()
    try folder.remove(file)
    let path = folder.path + "/" + file
    #expect {
      try SentenceEncoder(folder: folder.path)
    } throws: { error in
      guard case ModelError.unreadable(file: path, _) = error else { return false }
      return true
    }
  }

  @Test func refusesToReadAFolderAsAFile() throws {
    let folder = try TemporaryModel()
    try folder.remove("vocab.txt")
    try FileManager.default.createDirectory(atPath: folder.path + "/vocab.txt", withIntermediateDirectories: false)
    #expect(throws: ModelError.unreadable(file: folder.path + "/vocab.txt", reason: "not a regular file")) {
      try SentenceEncoder(folder: folder.path)
    }
  }

  /// What is replaced in the settings of a model that can be run, and what the error has to say.
  @Test(arguments: [
    (
      "config.json", #""model_type": "bert""#, #""model_type": "roberta""#,
      "expected the model type bert, found roberta"
    ),
    ("config.json", #""hidden_act": "gelu""#, #""hidden_act": "relu""#, "expected the activation gelu, found relu"),
    (
      "config.json", #""num_attention_heads": 4"#, #""num_attention_heads": 3"#,
      "that the heads share equally, found 20 for 3"
    ),
    ("config.json", #""hidden_size": 20"#, #""hidden_size": 24"#, "of shape [143, 24], found [143, 20]"),
    (
      "config.json", #""hidden_size": 20"#, #""hidden_size": -1"#,
      "expected a whole number from 1 to 8192 as `hidden_size`"
    ),
    ("config.json", #""hidden_size": 20,"#, "", "expected `hidden_size`, found none"),
    (
      "config.json", #""vocab_size": 143"#, #""vocab_size": 100"#,
      "expected at most the 100 tokens of config.json, found 141"
    ),
    (
      "config.json", #""num_hidden_layers": 2"#, #""num_hidden_layers": 3"#,
      "a tensor named `encoder.layer.2.attention.self.query.weight`"
    ),
    ("config.json", "{", "[", "expected JSON"),
    ("modules.json", "Pooling", "Dense", "expected the modules Transformer, Pooling and Normalize"),
    ("modules.json", #""1_Pooling", "type""#, #""../elsewhere", "type""#, "expected the name of a folder"),
    (
      "1_Pooling/config.json", #""pooling_mode_max_tokens": false"#, #""pooling_mode_max_tokens": true"#,
      "expected pooling by the mean or by the first token, found pooling_mode_cls_token, pooling_mode_max_tokens"
    ),
    ("sentence_bert_config.json", "24", "\"many\"", "as `max_seq_length`"),
    (
      "tokenizer_config.json", #""do_lower_case": false"#, #""do_lower_case": 1"#,
      "expected true or false as `do_lower_case`"
    ),
    ("vocab.txt", "[UNK]\n", "[UNKNOWN]\n", "expected the token [UNK]"),
  ])
  func refusesWhatItCannotRun(file: String, text: String, replacement: String, says: String) throws {
    let folder = try TemporaryModel()
    try folder.replace(text, with: replacement, in: file)
    #expect {
      try SentenceEncoder(folder: folder.path)
    } throws: { error in
      guard let error = error as? ModelError else { return false }
      return error.description.hasPrefix(folder.path + "/") && error.description.contains(says)
    }
  }

  @Test func refusesAVocabularyThatIsNoText() throws {
    let folder = try TemporaryModel()
    try Data([0x61, 0x0A, 0xFF, 0x0A]).write(to: URL(fileURLWithPath: folder.path + "/vocab.txt"))
    #expect(throws: ModelError.malformed(file: folder.path + "/vocab.txt", expected: "UTF-8", found: "other bytes")) {
      try SentenceEncoder(folder: folder.path)
    }
  }

  @Test func refusesWeightsThatAreNoNumbers() throws {
    let folder = try TemporaryModel("tiny-cross-encoder")
    let path = folder.path + "/model.safetensors"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    for index in (bytes.count - 4000)..<bytes.count { bytes[index] = 0xFF }
    try bytes.write(to: URL(fileURLWithPath: path))
    #expect(throws: ModelError.malformed(file: path, expected: "finite numbers", found: "others")) {
      try CrossEncoder(folder: folder.path)
    }
  }

  @Test func readsTheVocabularyOfATokenizerFileToo() throws {
    let folder = try TemporaryModel()
    let lines = try folder.text("vocab.txt").split(separator: "\n").map(String.init)
    let vocabulary = Dictionary(uniqueKeysWithValues: lines.enumerated().map { ($1, $0) })
    let normalizer: [String: Any] = [
      "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": false, "lowercase": false,
    ]
    let tokenizer: [String: Any] = ["normalizer": normalizer, "model": ["type": "WordPiece", "vocab": vocabulary]]
    let json = try JSONSerialization.data(withJSONObject: tokenizer)
    try json.write(to: URL(fileURLWithPath: folder.path + "/tokenizer.json"))
    let text = "pay my Bank, É 中"
    let expected = try SentenceEncoder(folder: folder.path).tokens(of: text)
    try folder.remove("vocab.txt")
    try folder.remove("tokenizer_config.json")
    #expect(try SentenceEncoder(folder: folder.path).tokens(of: text) == expected)
  }
}
