import NIOCore
import NIOHTTP2

/// What one connection may ask of the server. A peer that asks for more loses the stream, or the connection.
struct HTTP2Limits: Sendable {
  var connections = 1024
  var concurrentStreams = 512
  var headerListBytes = 64 << 10
  /// The bodies that a connection's streams have sent and that are not yet answered.
  var bufferedBytes = 64 << 20
  /// Streams that a client may reset within 10 s. An Envoy resets a question whenever its client goes away, so that
  /// others than the Envoy set the rate; a reset stream costs little more than one that is answered.
  var resets = 2000
  /// The flow-control windows, in bytes.
  var connectionWindow = 8 << 20
  var streamWindow = 1 << 20
  /// How long a client may take to send a body.
  var bodyTime = TimeAmount.seconds(10)
  /// How long an answer may take, when the client does not say (`grpc-timeout`).
  var answerTime = TimeAmount.seconds(30)
  /// How long a stream of messages may last, when the client does not say.
  var streamTime = TimeAmount.minutes(60)
  /// How long a client may take to read an answer.
  var readTime = TimeAmount.seconds(30)
  /// How long a connection without a stream is kept.
  var idleTime = TimeAmount.minutes(15)
  /// How long a new connection may take to ask for the first time.
  var firstRequestTime = TimeAmount.seconds(10)
  /// How long streams may go on when the server shuts down.
  var shutdownTime = TimeAmount.seconds(8)

  var connectionConfiguration: NIOHTTP2Handler.ConnectionConfiguration {
    var configuration = NIOHTTP2Handler.ConnectionConfiguration()
    configuration.initialSettings = [
      HTTP2Setting(parameter: .maxConcurrentStreams, value: concurrentStreams),
      HTTP2Setting(parameter: .maxHeaderListSize, value: headerListBytes),
      HTTP2Setting(parameter: .initialWindowSize, value: streamWindow),
    ]
    configuration.maximumBufferedControlFrames = 1000
    configuration.maximumRecentlyResetStreams = concurrentStreams
    return configuration
  }

  var streamConfiguration: NIOHTTP2Handler.StreamConfiguration {
    var configuration = NIOHTTP2Handler.StreamConfiguration()
    configuration.streamResetFrameRateLimit.maximumCount = resets
    configuration.streamResetFrameRateLimit.windowLength = .seconds(10)
    return configuration
  }
}
