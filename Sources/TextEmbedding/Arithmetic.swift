/// The numbers by which a model computes.
public enum Arithmetic: String, Sendable, Hashable, CaseIterable {
  /// As the model was made: 32-bit floating point numbers. What comes out is what other libraries compute.
  case float32
  /// The matrices as 8-bit integers, and what is multiplied by them as well. Several times as fast in a quarter of the
  /// memory, for embeddings that are a little off; the same embeddings on every processor.
  case int8
}
