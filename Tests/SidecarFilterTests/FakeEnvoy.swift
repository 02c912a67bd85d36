import CEnvoyModule
import SidecarFilter
import Synchronization

/// Plays Envoy's side for one request. What it lends is its own memory, freed and overwritten when the hook returns, so
/// that a sanitizer finds whoever keeps it.
final class FakeStream {
  struct Response: Equatable {
    let status: UInt32
    let body: [UInt8]
  }

  /// How a callout goes.
  enum CalloutMode: CaseIterable {
    case begins, isRefused
    /// Answered before it returns, and begun or refused all the same.
    case isAnsweredAtOnce, isAnsweredAndRefused
  }

  var fields: [(name: [UInt8], value: [UInt8])] = []
  var bodyBuffered: [UInt8] = []
  var bodyReceived: [UInt8] = []
  var receivedIsBuffered = false
  var claimedBodySize: Int?
  var refusesHeaders = false
  var refusesSetting = false
  var mode = CalloutMode.begins
  var isDestroyedByResponse = false
  var answerAtOnce: (FakeStream) -> Void = { _ in }
  /// What the module holds for this stream; nil when it was destroyed.
  var filter: UnsafeRawPointer?

  private(set) var responses: [Response] = []
  private(set) var continues = 0
  /// How often something went on, by a return value or by a call.
  var passages = 0
  private(set) var questions: [[UInt8]] = []
  private(set) var set: [(name: [UInt8], value: [UInt8])] = []
  private(set) var metadata: [String: [UInt8]] = [:]
  private(set) var clearedRoute = false
  var hasQuestion = false

  private var lent: [UnsafeMutableRawBufferPointer] = []

  var pointer: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

  static func at(_ pointer: UnsafeMutableRawPointer) -> FakeStream {
    Unmanaged<FakeStream>.fromOpaque(pointer).takeUnretainedValue()
  }

  func lend(_ bytes: [UInt8]) -> casa_bytes {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
    memory.copyBytes(from: bytes)
    lent.append(memory)
    return casa_bytes(start: memory.baseAddress?.assumingMemoryBound(to: CChar.self), count: bytes.count)
  }

  func takeBack() {
    for memory in lent {
      for index in memory.indices { memory[index] = 0xEE }
      memory.deallocate()
    }
    lent = []
  }

  func respond(_ response: Response) {
    responses.append(response)
    if isDestroyedByResponse { destroy() }
  }

  func resume() {
    continues += 1
    passages += 1
  }

  func ask(_ body: [UInt8]) -> UInt32 {
    questions.append(body)
    switch mode {
    case .begins:
      hasQuestion = true
      return 0
    case .isRefused: return 4
    case .isAnsweredAtOnce:
      answerAtOnce(self)
      return 0
    case .isAnsweredAndRefused:
      answerAtOnce(self)
      return 4
    }
  }

  func change(_ name: [UInt8], _ value: [UInt8]?) -> Bool {
    takeBack()
    if refusesSetting, value != nil { return false }
    if let value { set.append((name, value)) }
    return true
  }

  func note(_ key: String, _ value: [UInt8]) { metadata[key] = value }
  func clearRoute() { clearedRoute = true }

  /// The body as a hook is shown it.
  func chunks(_ body: casa_body) -> [UInt8] {
    body == CASA_BUFFERED_REQUEST_BODY ? bodyBuffered : bodyReceived
  }

  func destroy() {
    guard let held = filter else { return }
    filter = nil
    hasQuestion = false
    onFilterDestroy(held)
  }
}

/// Plays Envoy's main thread for one configuration.
final class FakeConfiguration: Sendable {
  struct State {
    var questions: [[UInt8]] = []
    var mode = FakeStream.CalloutMode.begins
    var answerAtOnce: (@Sendable () -> Void)?
    var hasQuestion = false
  }

  let state = Mutex(State())
  let commits = Atomic(0)
  let schedulers = Atomic(0)

  var pointer: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

  static func at(_ pointer: UnsafeMutableRawPointer) -> FakeConfiguration {
    Unmanaged<FakeConfiguration>.fromOpaque(pointer).takeUnretainedValue()
  }

  func ask(_ body: [UInt8]) -> UInt32 {
    let (mode, answer) = state.withLock { state in
      state.questions.append(body)
      state.hasQuestion = state.mode == .begins
      return (state.mode, state.answerAtOnce)
    }
    if mode == .isAnsweredAtOnce || mode == .isAnsweredAndRefused { answer?() }
    return mode == .begins || mode == .isAnsweredAtOnce ? 0 : 4
  }
}

extension casa_bytes {
  var copied: [UInt8] { Array(UnsafeRawBufferPointer(start: start, count: count)) }
}
