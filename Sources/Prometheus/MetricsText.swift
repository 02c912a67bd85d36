/// What a program tells of itself, in Prometheus' text format (0.0.4).
public struct MetricsText: Sendable {
  /// A label's name and value. Values come from short lists that this program knows: nothing a caller chose.
  public typealias Label = (name: String, value: String)

  private var lines: [String] = []

  public init() {}

  public var text: String { lines.joined(separator: "\n") + "\n" }

  public mutating func counter(_ name: String, _ help: String, _ value: some BinaryInteger) {
    add(name, help, "counter", ["\(name) \(value)"])
  }

  public mutating func gauge(_ name: String, _ help: String, _ value: some BinaryInteger) {
    add(name, help, "gauge", ["\(name) \(value)"])
  }

  public mutating func counter(_ name: String, _ help: String, label: String, _ values: () -> [(String, Int)]) {
    counter(name, help, values().map { (labels: [(name: label, value: $0.0)], value: $0.1) })
  }

  public mutating func gauge(_ name: String, _ help: String, label: String, _ values: () -> [(String, Int)]) {
    add(name, help, "gauge", values().map { "\(name)\(Self.written([(name: label, value: $0.0)])) \($0.1)" })
  }

  public mutating func counter(_ name: String, _ help: String, _ values: [(labels: [Label], value: Int)]) {
    add(name, help, "counter", values.map { "\(name)\(Self.written($0.labels)) \($0.value)" })
  }

  /// - Parameter histograms: in seconds.
  public mutating func histogram(
    _ name: String, _ help: String, _ histograms: [(labels: [Label], durations: DurationHistogram)]
  ) {
    var values: [String] = []
    for (labels, durations) in histograms {
      for (bound, count) in durations.cumulative {
        values.append("\(name)_bucket\(Self.written(labels + [(name: "le", value: bound)])) \(count)")
      }
      values.append("\(name)_sum\(Self.written(labels)) \(durations.seconds)")
      values.append("\(name)_count\(Self.written(labels)) \(durations.count)")
    }
    add(name, help, "histogram", values)
  }

  /// What another program tells of itself, in the same format.
  public mutating func append(_ text: String) {
    var text = text[...]
    while text.last?.isNewline ?? false { text.removeLast() }
    if !text.isEmpty { lines.append(String(text)) }
  }

  private mutating func add(_ name: String, _ help: String, _ type: String, _ values: [String]) {
    lines += ["# HELP \(name) \(help)", "# TYPE \(name) \(type)"] + values
  }

  private static func written(_ labels: [Label]) -> String {
    if labels.isEmpty { return "" }
    return "{" + labels.map { "\($0.name)=\"\(escaped($0.value))\"" }.joined(separator: ",") + "}"
  }

  private static func escaped(_ value: String) -> String {
    var text = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
