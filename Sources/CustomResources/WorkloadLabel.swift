import Crypto

/// The label by which policies select a workload's pods. The injector sets it, over whatever a pod's author wrote.
public enum WorkloadLabel {
  public static let key = "casa.io/workload"

  /// The label's value for a workload's name: the name, or, where it is too long for a label, its beginning and a
  /// digest of it.
  public static func value(of workload: String) -> String { shortened(workload, to: 63) }

  /// A name that no other text leads to: `text` itself, or as much of it as there is room for, and 16 digits of its
  /// SHA-256.
  public static func shortened(_ text: String, to maximum: Int) -> String {
    guard text.utf8.count > maximum else { return text }
    var start = text.prefix(maximum - 17)
    while let last = start.last, last == "." || last == "-" { start.removeLast() }
    return start + "-" + digest(of: text).prefix(16)
  }

  /// 64 lowercase hexadecimal digits.
  public static func digest(of text: String) -> String {
    SHA256.hash(data: Array(text.utf8)).map { byte in
      let digits = String(byte, radix: 16)
      return digits.utf8.count == 1 ? "0" + digits : digits
    }.joined()
  }
}
