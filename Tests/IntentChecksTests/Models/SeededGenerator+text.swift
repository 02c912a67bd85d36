import SeededRandom

extension SeededGenerator {
  /// Text of what prompts are attacked with: controls, invisible characters, quotes and other scripts.
  mutating func text(upTo length: Int, holding word: String = "") -> String {
    let ranges: [ClosedRange<UInt32>] = [
      0x01...0x1F, 0x20...0x7F, 0x80...0x2FF, 0x200B...0x2064, 0xFE00...0xFE0F, 0x4E00...0x4E40, 0xE000...0xE010,
      0x1F600...0x1F640, 0xE0001...0xE007F,
    ]
    var text = ""
    for _ in 0..<Int.random(in: 0...length, using: &self) {
      if !word.isEmpty, Int.random(in: 0..<6, using: &self) == 0 {
        text += word.prefix(Int.random(in: 1...word.count, using: &self))
        continue
      }
      guard let range = ranges.randomElement(using: &self),
        let scalar = Unicode.Scalar(UInt32.random(in: range, using: &self))
      else { continue }
      text.unicodeScalars.append(scalar)
    }
    return text
  }
}
