/// Prometheus' text format (0.0.4).
struct MetricsText {
  private var lines: [String] = []

  var text: String { lines.joined(separator: "\n") + "\n" }

  mutating func counter(_ name: String, _ help: String, _ value: some BinaryInteger) {
    add(name, help, "counter", ["\(name) \(value)"])
  }

  mutating func gauge(_ name: String, _ help: String, _ value: some BinaryInteger) {
    add(name, help, "gauge", ["\(name) \(value)"])
  }

  mutating func counter(_ name: String, _ help: String, label: String, _ values: () -> [(String, Int)]) {
    add(name, help, "counter", values().map { "\(name){\(label)=\"\($0.0)\"} \($0.1)" })
  }

  mutating func gauge(_ name: String, _ help: String, label: String, _ values: () -> [(String, Int)]) {
    add(name, help, "gauge", values().map { "\(name){\(label)=\"\($0.0)\"} \($0.1)" })
  }

  private mutating func add(_ name: String, _ help: String, _ type: String, _ values: [String]) {
    lines += ["# HELP \(name) \(help)", "# TYPE \(name) \(type)"] + values
  }
}
