import AgentProtocols
import CASACore
import CEnvoyModule
import Enforcement
import Synchronization
import Testing

@Suite("The filter of a request")
struct StreamFilterTests {
  private func load() throws -> LoadedFilter { try #require(LoadedFilter()) }

  @Test("asks about what it does not know, and lets it pass by the answer")
  func asks() throws {
    let loaded = try load()
    let stream = loaded.begin()
    #expect(stream.headers(isLast: true) == CASA_HEADERS_STOP)
    #expect(stream.questions.count == 1)
    stream.answer(Samples.bytes(Samples.admitting + [("x-casa-set-a", "b"), ("x-casa-answer-token", "t2")]))
    #expect(stream.continues == 1)
    #expect(stream.set.map { String(decoding: $0.name, as: UTF8.self) } == ["a"])
    #expect(stream.metadata["answer_token"] == Array("t2".utf8))
    #expect(stream.responses.isEmpty)
    stream.destroy()
  }

  @Test("decides by itself what it learned, and tells of it")
  func reuses() throws {
    let loaded = try load()
    let first = loaded.begin()
    first.headers(isLast: true)
    first.answer(Samples.bytes(Samples.admitting), [Samples.facts.canonicalBytes])
    first.destroy()

    let second = loaded.begin()
    #expect(second.headers(isLast: true) == CASA_HEADERS_CONTINUE)
    #expect(second.questions.isEmpty)
    second.destroy()

    loaded.deliver()
    let record = try #require(loaded.envoy.state.withLock { $0.questions.first })
    #expect(String(decoding: record, as: UTF8.self).hasPrefix("1 {"))
    // Until they have arrived, they are sent again.
    loaded.answerRecords([(":status", "500"), ("x-casa-epoch", "1")])
    loaded.deliver()
    #expect(loaded.envoy.state.withLock { $0.questions } == [record, record])
    loaded.answerRecords([(":status", "204"), ("x-casa-epoch", "1")])
    loaded.deliver()
    #expect(loaded.envoy.state.withLock { $0.questions.count } == 2)
    // A new epoch voids what was learned.
    let third = loaded.begin()
    third.headers(isLast: true)
    third.destroy()
    loaded.deliver()
    loaded.answerRecords([(":status", "204"), ("x-casa-epoch", "2")])
    let fourth = loaded.begin()
    #expect(fourth.headers(isLast: true) == CASA_HEADERS_STOP)
    #expect(fourth.questions.count == 1)
    fourth.destroy()
  }

  @Test("decides by itself about a message too, once it is whole")
  func reusesForMessages() throws {
    let loaded = try load()
    let first = loaded.begin()
    first.headers(isLast: true)
    first.answer(Samples.bytes(Samples.admitting), [Samples.facts.canonicalBytes])
    first.destroy()

    let post = [(":method", "POST"), ("content-type", "application/json")] + Samples.get.dropFirst()
    let stream = loaded.begin(Samples.bytes(post))
    stream.headers(isLast: false)
    let body = Array(#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.utf8)
    #expect(stream.data(Array(body.prefix(9)), isLast: false) == CASA_DATA_STOP_AND_BUFFER)
    #expect(stream.data(Array(body.dropFirst(9)), isLast: true) == CASA_DATA_CONTINUE)
    #expect(stream.questions.isEmpty)
    stream.destroy()
  }

  @Test("holds a body back until it is whole")
  func body() throws {
    let stream = try load().begin(Samples.bytes([(":method", "POST")] + Samples.get.dropFirst()))
    #expect(stream.headers(isLast: false) == CASA_HEADERS_STOP)
    #expect(stream.data(Array("ab".utf8), isLast: false) == CASA_DATA_STOP_AND_BUFFER)
    #expect(stream.data(Array("cd".utf8), isLast: true) == CASA_DATA_STOP_AND_BUFFER)
    #expect(try #require(stream.questions.first).suffix(5).elementsEqual(";abcd".utf8))
    stream.destroy()
  }

  @Test("refuses a body of more than 1 MiB with 413, even one that is only said to be")
  func largeBody() throws {
    for claimed in [(1 << 20) + 1, Int.max, -1] {
      let stream = try load().begin()
      stream.headers(isLast: false)
      stream.claimedBodySize = claimed
      #expect(stream.data([1], isLast: false) == CASA_DATA_STOP_NO_BUFFER)
      #expect(stream.responses.map(\.status) == [413])
      stream.destroy()
    }
  }

  @Test(
    "refuses when Envoy can't ask, in whichever way it says so",
    arguments: [FakeStream.CalloutMode.isRefused, .isAnsweredAndRefused])
  func cannotAsk(mode: FakeStream.CalloutMode) throws {
    let stream = try load().begin()
    stream.mode = mode
    stream.answerAtOnce = { $0.answer(Samples.bytes([(":status", "503")])) }
    #expect(stream.headers(isLast: true) == CASA_HEADERS_STOP)
    #expect(stream.responses.map(\.status) == [403])
    #expect(stream.passages == 0)
    stream.destroy()
  }

  @Test("goes on by the hook's return value when the answer came within it")
  func answeredAtOnce() throws {
    let stream = try load().begin()
    stream.mode = .isAnsweredAtOnce
    stream.answerAtOnce = { $0.answer(Samples.bytes(Samples.admitting)) }
    #expect(stream.headers(isLast: true) == CASA_HEADERS_CONTINUE)
    #expect(stream.continues == 0)
    stream.destroy()
  }

  @Test("refuses trailers, tunnels and whatever comes after the end")
  func disorder() throws {
    let loaded = try load()
    let trailers = loaded.begin()
    trailers.headers(isLast: false)
    #expect(trailers.trailers() == CASA_HEADERS_STOP)
    #expect(trailers.responses.map(\.status) == [403])
    trailers.destroy()

    let tunnel = loaded.begin(Samples.bytes([(":method", "CONNECT"), (":authority", "a:1")]))
    #expect(tunnel.headers(isLast: false) == CASA_HEADERS_STOP)
    #expect(tunnel.responses.map(\.status) == [403])
    tunnel.destroy()

    let late = loaded.begin()
    late.headers(isLast: true)
    #expect(late.data([1], isLast: true) == CASA_DATA_STOP_NO_BUFFER)
    late.answer(Samples.bytes(Samples.admitting))
    #expect(late.passages == 0)
    #expect(late.responses.map(\.status) == [403])
    late.destroy()
  }

  @Test("refuses when Envoy does not take a change")
  func changeRefused() throws {
    let stream = try load().begin()
    stream.headers(isLast: true)
    stream.refusesSetting = true
    stream.answer(Samples.bytes(Samples.admitting + [("x-casa-set-a", "b")]))
    #expect(stream.passages == 0)
    #expect(stream.responses.map(\.status) == [403])
    stream.destroy()
  }

  @Test("frees what Envoy lent it to schedule by")
  func scheduler() throws {
    let envoy: FakeConfiguration
    do {
      let loaded = try load()
      envoy = loaded.envoy
      #expect(envoy.schedulers.load(ordering: .relaxed) == 1)
      _ = loaded
    }
    #expect(envoy.schedulers.load(ordering: .relaxed) == 0)
  }
}
