/// The pieces of words that a model knows, and the numbers they go by.
///
/// Pieces are found by the bytes of their UTF-8 form: strings of Swift would be equal when they are only canonically
/// equivalent. What is looked up comes from outside, what is stored does not, so that a search stays short.
struct Vocabulary: Sendable {
  /// As many as the model's table of embeddings must have rows.
  let count: Int

  /// Each piece's bytes, one after another.
  private var text: [UInt8] = []
  private var pieces: [Piece] = []
  /// Indexes into `pieces` at the place of their hash or the next free one; −1 is free. A power of two.
  private var slots: [Int32]

  private struct Piece: Sendable {
    let start: Int32
    let length: Int32
    let token: Int32
    let continuesWord: Bool
  }

  /// The most bytes that a piece has.
  private(set) var longestPiece = 0

  static let maximumCount = 1 << 20

  /// - Parameter tokens: by their numbers; of two equal ones the last one counts, as in the reference implementation
  init(_ tokens: [[UInt8]]) {
    count = tokens.count
    var capacity = 4
    while capacity < 2 * tokens.count { capacity *= 2 }
    slots = Array(repeating: -1, count: capacity)
    pieces.reserveCapacity(tokens.count)
    for (token, bytes) in tokens.enumerated() {
      let continuesWord = bytes.count > 2 && bytes[0] == UInt8(ascii: "#") && bytes[1] == UInt8(ascii: "#")
      insert(continuesWord ? bytes[2...] : bytes[...], continuesWord: continuesWord, token: Int32(token))
    }
  }

  private mutating func insert(_ bytes: ArraySlice<UInt8>, continuesWord: Bool, token: Int32) {
    guard !bytes.isEmpty else { return }
    var hash = PieceHash(continuesWord: continuesWord)
    for byte in bytes { hash.add(byte) }
    let slot = slot(of: bytes, hash, continuesWord: continuesWord)
    let piece = Piece(
      start: Int32(text.count), length: Int32(bytes.count), token: token, continuesWord: continuesWord)
    longestPiece = max(longestPiece, bytes.count)
    text += bytes
    slots[slot] = Int32(pieces.count)
    pieces.append(piece)
  }

  /// The token of a whole piece.
  subscript(piece: String) -> Int32? {
    let bytes = Array(piece.utf8)
    let continuesWord = bytes.starts(with: "##".utf8) && bytes.count > 2
    let content = continuesWord ? bytes[2...] : bytes[...]
    var hash = PieceHash(continuesWord: continuesWord)
    for byte in content { hash.add(byte) }
    return token(of: content, hash, continuesWord: continuesWord)
  }

  func token(of bytes: ArraySlice<UInt8>, _ hash: PieceHash, continuesWord: Bool) -> Int32? {
    let index = slots[slot(of: bytes, hash, continuesWord: continuesWord)]
    return index < 0 ? nil : pieces[Int(index)].token
  }

  /// Where the piece is, or else the free place where it would be. At least half of the places are free.
  private func slot(of bytes: ArraySlice<UInt8>, _ hash: PieceHash, continuesWord: Bool) -> Int {
    let mask = slots.count - 1
    var slot = hash.value & mask
    while slots[slot] >= 0 {
      let piece = pieces[Int(slots[slot])]
      if piece.continuesWord == continuesWord, piece.length == bytes.count,
        text[Int(piece.start)..<Int(piece.start + piece.length)].elementsEqual(bytes)
      {
        break
      }
      slot = (slot + 1) & mask
    }
    return slot
  }
}

/// The hash of a piece, byte by byte (FNV-1a), so that those of all beginnings of a word cost one pass.
struct PieceHash: Sendable {
  private var state: UInt64

  init(continuesWord: Bool) { state = continuesWord ? 0x84222325_CBF29CE4 : 0xCBF29CE4_84222325 }

  mutating func add(_ byte: UInt8) { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }

  var value: Int { Int(truncatingIfNeeded: state ^ state >> 32) & Int.max }
}
