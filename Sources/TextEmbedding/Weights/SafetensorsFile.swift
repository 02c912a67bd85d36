/// An open safetensors file.
struct SafetensorsFile: Sendable {
  let path: String
  private let file: MappedFile
  private let header: SafetensorsHeader

  init(path: String) throws(ModelError) {
    self.path = path
    file = try MappedFile(path: path)
    header = try SafetensorsHeader(parsing: file.bytes, path: path)
  }

  func contains(_ name: String) -> Bool { header.entries[name] != nil }

  func tensor(_ name: String, shape: [Int]) throws(ModelError) -> Tensor {
    guard let entry = header.entries[name] else {
      throw .malformed(file: path, expected: "a tensor named `\(name)`", found: "none")
    }
    guard entry.shape == shape else {
      throw .malformed(file: path, expected: "`\(name)` of shape \(shape)", found: "\(entry.shape)")
    }
    guard let tensor = Tensor(entry, in: file) else {
      throw .unsupported(
        file: path, expected: "`\(name)` of type F32, F16 or BF16", found: entry.elementType.rawValue)
    }
    return tensor
  }
}
