public import CASACore
public import Foundation

/// Where the intent checks draw the line, as it was found from labelled calls. Made by `casa intent calibrate`.
public struct Calibration: Sendable, Hashable, Codable {
  /// The name of the model whose embeddings it was made with: with another model's it means nothing.
  public var model: String
  public var grounding: LogisticModel
  public var toolMatch: LogisticModel
  /// The data it was made from, for people.
  public var sources: [String]

  /// The one that comes with CASA.
  public static let standard: Calibration? = try? Calibration(parsing: Data(PackageResources.calibration_json))

  /// Whether every number is one, and what is divided by is not 0.
  var isSound: Bool {
    [grounding, toolMatch].allSatisfy { model in
      model.bias.isFinite && model.threshold.isFinite && model.terms.count <= 64
        && model.terms.allSatisfy { $0.mean.isFinite && $0.weight.isFinite && $0.scale.isFinite && $0.scale > 0 }
    }
  }

  /// In canonical form, so that it can be kept under version control.
  public var json: Data {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      return try encoder.encode(self)
    }
  }
}

extension Calibration {
  /// Reads what `json` makes.
  /// - Throws: `InvalidField` for anything else, and for numbers by which nothing can be weighed.
  public init(parsing data: Data) throws(InvalidField) {
    guard let calibration = try? JSONDecoder().decode(Calibration.self, from: data), calibration.isSound else {
      throw InvalidField("calibration", expected: "what `casa intent calibrate` writes")
    }
    self = calibration
  }
}
