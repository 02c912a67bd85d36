/// Prints the demonstration as a table that grows, in colours when that is wanted.
struct DemoTable: Sendable {
  private static let widths = [17, 32, 12, 32, 7, 27, 6]

  let isColoured: Bool

  func title(_ text: String, _ story: String, prompt: String) -> String {
    "\n" + paint(text, "1") + "\n" + story + "\nPrompt: " + prompt + "\n"
      + paint(line(DemoRow.columns), "2")
  }

  func row(_ row: DemoRow) -> String {
    let text = line(row.cells)
    switch row.verdict {
    case .allowed, .seen: return text
    case .refused: return paint(text, "31")
    }
  }

  func expectation(_ text: String, held: Bool) -> String {
    paint((held ? "✓ " : "✗ ") + text, held ? "32" : "1;31")
  }

  private func line(_ cells: [String]) -> String {
    var text = ""
    for (cell, width) in zip(cells, Self.widths) {
      let shown = cell.count > width ? String(cell.prefix(width - 1)) + "…" : cell
      text += shown + String(repeating: " ", count: width - shown.count + 2)
    }
    while text.last == " " { text.removeLast() }
    return text
  }

  private func paint(_ text: String, _ code: String) -> String {
    isColoured ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }
}
