/// Which Events were told a moment ago, so that a failure that comes again and again fills no list of Events. Pure.
struct EventRepetitions: Sendable {
  struct Place: Sendable, Hashable {
    let object: String
    let uid: String?
    let reason: String
  }

  /// For how long the same reason is not told again of the same object.
  static let quiet = Duration.seconds(5 * 60)
  static let maximumPlaces = 4096

  private struct Told: Sendable {
    var at: ContinuousClock.Instant
    var unheard = 0
  }

  private var told: [Place: Told] = [:]

  /// - Returns: how often it happened since it was told last, with this time; nil when it is not to be told now.
  mutating func tell(_ place: Place, at now: ContinuousClock.Instant) -> Int? {
    if let last = told[place], now - last.at < Self.quiet {
      told[place]?.unheard += 1
      return nil
    }
    let count = (told[place]?.unheard ?? 0) + 1
    if told.count >= Self.maximumPlaces, told[place] == nil {
      told = told.filter { now - $0.value.at < Self.quiet }
      // Better told twice than kept without bound.
      if told.count >= Self.maximumPlaces { told = [:] }
    }
    told[place] = Told(at: now)
    return count
  }
}
