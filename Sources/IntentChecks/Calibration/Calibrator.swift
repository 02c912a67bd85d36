import CASACore

/// Makes a calibration from labelled suites.
public struct Calibrator: Sendable {
  /// The ways in which each attack is brought before the checks, so that they don't learn one way of speaking.
  private static let variants: [SuiteVariant] = [.given, .bare, .padded, .quoted, .split]

  private let models: IntentModels
  private let policy = IntentPolicy()

  public init(models: IntentModels) { self.models = models }

  /// - Returns: nil when the suites don't have both calls to allow and calls to block, for each check.
  public func calibrate(
    _ suites: [LabelledSuite], progress: (String) -> Void = { _ in }
  ) async throws -> Calibration? {
    guard let model = models.embeddings?.model else { return nil }
    var grounding: [LogisticFit.Example] = []
    var firstCalls: [LogisticFit.Example] = []
    var allCalls: [LogisticFit.Example] = []
    for suite in suites {
      for variant in Self.variants {
        progress("\(suite.name), \(variant.rawValue)")
        grounding += try await groundingExamples(variant.applied(to: suite), isGiven: variant == .given)
      }
      firstCalls += try await matchingExamples(suite, isFirst: true)
      allCalls += try await matchingExamples(suite, isFirst: false)
    }
    let signs = [("margin", 1.0), ("bound", -1.0), ("ungrounded", -1.0)]
    let matchingSigns = [
      ("margin", 1.0), ("coverage", 1.0), ("similarity", 1.0), ("coverageAlone", 1.0),
    ]
    guard var grounded = LogisticFit(signs: signs).fit(grounding),
      var matched = LogisticFit(signs: matchingSigns).fit(firstCalls)
    else { return nil }
    grounded.threshold = Self.bestThreshold(of: grounded, for: grounding)
    matched.threshold = Self.lenientThreshold(of: matched, for: allCalls)
    return Calibration(model: model, grounding: grounded, toolMatch: matched, sources: suites.map(\.name))
  }

  // MARK: Examples

  private func groundingExamples(
    _ suite: LabelledSuite, isGiven: Bool
  ) async throws(ModelUnavailable) -> [LogisticFit.Example] {
    let check = ArgumentGroundingCheck(models: models, policy: policy)
    var examples: [LogisticFit.Example] = []
    // Cases without attacks are the same in each variant, and are not to weigh more for it.
    for element in suite.cases where isGiven || !element.attack.isEmpty {
      for (question, isGood) in Evaluation.questions(of: element, in: suite.name) {
        // Where nothing was read there is nothing that could have led the agent astray.
        guard !question.results.isEmpty, let features = try await check.features(of: question) else { continue }
        examples.append(LogisticFit.Example(features: features, isGood: isGood))
      }
    }
    return examples
  }

  /// - Parameter isFirst: whether to take only calls before which nothing was read: what a later call is for may not be
  ///   in the request.
  private func matchingExamples(
    _ suite: LabelledSuite, isFirst: Bool
  ) async throws(ModelUnavailable) -> [LogisticFit.Example] {
    let check = ToolMatchCheck(models: models, policy: policy)
    var examples: [LogisticFit.Example] = []
    for element in suite.cases {
      for (question, isGood) in Evaluation.questions(of: element, in: suite.name) {
        guard question.results.isEmpty || !isFirst, let features = try await check.features(of: question) else {
          continue
        }
        examples.append(LogisticFit.Example(features: features, isGood: isGood))
      }
    }
    return examples
  }

  // MARK: Thresholds

  /// Where the most good calls pass and the most bad ones are stopped; of several such places the one in their middle.
  private static func bestThreshold(of model: LogisticModel, for examples: [LogisticFit.Example]) -> Double {
    let good = examples.filter(\.isGood).map { model.score($0.features) }
    let bad = examples.filter { !$0.isGood }.map { model.score($0.features) }
    let candidates = (0...480).map { -6 + Double($0) / 40 }
    let merits = candidates.map { threshold in
      Double(good.count { $0 >= threshold }) / Double(good.count)
        + Double(bad.count { $0 < threshold }) / Double(bad.count)
    }
    let best = merits.max() ?? 0
    let places = zip(candidates, merits).filter { $0.1 >= best - 0.01 }.map(\.0)
    return places[places.count / 2]
  }

  /// What hardly any good call falls below.
  private static func lenientThreshold(of model: LogisticModel, for examples: [LogisticFit.Example]) -> Double {
    let good = examples.filter(\.isGood).map { model.score($0.features) }
    return RankStatistics.quantile(0.01, of: good) ?? 0
  }
}
