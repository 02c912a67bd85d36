/// Divides words into the longest pieces that the vocabulary has, from left to right.
struct WordPiece: Sendable {
  let vocabulary: Vocabulary
  /// Of a word that can't be made up of pieces, and of one that is too long.
  let unknown: Int32

  /// A word with more characters than that is unknown.
  static let maximumWordLength = 100

  func append(_ word: [UInt8], to tokens: inout [Int32]) {
    // Characters: bytes that do not continue one.
    var length = 0
    for byte in word where byte & 0xC0 != 0x80 { length += 1 }
    guard length <= Self.maximumWordLength else {
      tokens.append(unknown)
      return
    }
    let first = tokens.count
    var start = 0
    var hashes: [PieceHash] = []
    while start < word.count {
      let continuesWord = start > 0
      hashes.removeAll(keepingCapacity: true)
      var hash = PieceHash(continuesWord: continuesWord)
      for byte in word[start..<min(word.count, start + vocabulary.longestPiece)] {
        hash.add(byte)
        hashes.append(hash)
      }
      var length = hashes.count
      while length > 0 {
        let piece = word[start..<start + length]
        if let token = vocabulary.token(of: piece, hashes[length - 1], continuesWord: continuesWord) {
          tokens.append(token)
          break
        }
        length -= 1
      }
      guard length > 0 else {
        tokens.removeLast(tokens.count - first)
        tokens.append(unknown)
        return
      }
      start += length
    }
  }
}
