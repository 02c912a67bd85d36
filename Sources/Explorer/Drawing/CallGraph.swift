internal import CASACore

/// Who called whom in a system, as a drawing: clients to the left, agents in the middle, what they use to the right.
struct CallGraph {
  private static let width = 860.0
  private static let rowHeight = 84.0
  private static let boxWidth = 148.0
  /// More apps or ways are left to the table beside the drawing.
  private static let maximumNodes = 60
  private static let maximumEdges = 200

  struct Node {
    let id: String
    let name: String
    let kind: String
    var x = 0.0
    var y = 0.0
  }

  let nodes: [Node]
  let edges: [JSONValue]
  private let height: Double

  init(_ graph: JSONValue) {
    var nodes = graph.list("apps").map {
      Node(id: $0.text("id"), name: $0.text("name"), kind: $0.text("kind"))
    }
    edges = graph.list("edges")
    // What is called and no app of the system has an id of its own: its name.
    for edge in edges where !nodes.contains(where: { haveSameBytes($0.name, edge.text("to")) }) {
      let name = edge.text("to")
      nodes.append(Node(id: "name:" + name, name: name, kind: edge.text("protocol") == "llm" ? "llm" : "other"))
    }
    nodes = Array(nodes.prefix(Self.maximumNodes))
    let columns = [["client"], ["agent"], ["mcp_server", "llm", "other"]].map { kinds in
      nodes.indices.filter { kinds.contains(nodes[$0].kind) }
    }.filter { !$0.isEmpty }
    let rows = columns.map(\.count).max() ?? 0
    height = max(1, Double(rows)) * Self.rowHeight + 32
    for (index, column) in columns.enumerated() {
      let inset = Self.boxWidth / 2 + 24
      let x =
        columns.count == 1
        ? Self.width / 2 : inset + Double(index) * (Self.width - 2 * inset) / Double(columns.count - 1)
      for (row, node) in column.enumerated() {
        nodes[node].x = x
        nodes[node].y = height * (Double(row) + 0.5) / Double(column.count)
      }
    }
    self.nodes = nodes
  }

  var isEmpty: Bool { nodes.isEmpty }

  /// A way from one box to another, and where its label stands. `graph.js` draws the same while a box is dragged.
  static func path(fromX: Double, fromY: Double, toX: Double, toY: Double) -> (path: String, x: Double, y: Double) {
    let text = Decimal.coordinate
    let half = boxWidth / 2
    if abs(fromX - toX) < boxWidth {
      let side = max(fromX, toX) + half
      let bend = side + 46
      return (
        "M\(text(fromX + half)) \(text(fromY))C\(text(bend)) \(text(fromY)) \(text(bend)) \(text(toY)) "
          + "\(text(toX + half)) \(text(toY))", bend - 12, (fromY + toY) / 2
      )
    }
    let sign = toX > fromX ? 1.0 : -1.0
    let (startX, endX) = (fromX + sign * half, toX - sign * half)
    let middle = (startX + endX) / 2
    return (
      "M\(text(startX)) \(text(fromY))C\(text(middle)) \(text(fromY)) \(text(middle)) \(text(toY)) "
        + "\(text(endX)) \(text(toY))", middle, (fromY + toY) / 2
    )
  }

  var view: View {
    var lines: [View] = []
    var rows: [View] = []
    let byID = Dictionary(nodes.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    for (index, edge) in edges.prefix(Self.maximumEdges).enumerated() {
      let from = byID[edge.text("from")]
      let to = nodes.first { haveSameBytes($0.name, edge.text("to")) }
      let refused = edge.count("refused")
      var row: View = [
        "from": from?.name ?? edge.text("from"), "to": edge.text("to"), "protocol": edge.text("protocol").uppercased(),
        "allowed": Decimal.grouped(edge.count("allowed")), "refused": Decimal.grouped(refused),
        "hasRefused": refused > 0, "hasAllowed": edge.count("allowed") > 0,
      ]
      row["last"] = Moment.view(edge.text("last_at"))
      rows.append(row)
      guard let from, let to else { continue }
      let drawn = Self.path(fromX: from.x, fromY: from.y, toX: to.x, toY: to.y)
      row["path"] = drawn.path
      row["x"] = Decimal.coordinate(drawn.x)
      row["y"] = Decimal.coordinate(drawn.y)
      row["fromID"] = from.id
      row["toID"] = to.id
      row["index"] = index
      row["tone"] = edge.count("allowed") == 0 && refused > 0 ? "refused" : refused > 0 ? "mixed" : "allowed"
      lines.append(row)
    }
    return [
      "width": Decimal.coordinate(Self.width), "height": Decimal.coordinate(height), "lines": lines, "rows": rows,
      "hasEdges": !rows.isEmpty,
      "nodes": nodes.map { node -> View in
        [
          "id": node.id, "name": Self.short(node.name), "whole": node.name,
          "kind": node.kind == "llm" ? "LLM" : Rows.words(node.kind), "shape": node.kind,
          "x": Decimal.coordinate(node.x), "y": Decimal.coordinate(node.y),
        ]
      },
    ]
  }

  private static func short(_ name: String) -> String { name.count > 17 ? name.prefix(16) + "…" : name }
}
