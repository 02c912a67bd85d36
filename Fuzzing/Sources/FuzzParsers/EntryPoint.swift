#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What libFuzzer calls with each input. `CASA_FUZZ_TARGET` says which reader gets it.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  target(Array(UnsafeBufferPointer(start: start, count: count)))
  return 0
}

private let target: @Sendable ([UInt8]) -> Void = {
  guard let name = getenv("CASA_FUZZ_TARGET").map({ String(cString: $0) }), let target = targets[name] else {
    fatalError("CASA_FUZZ_TARGET must be one of \(targets.keys.sorted().joined(separator: " "))")
  }
  return target
}()

private let targets: [String: @Sendable ([UInt8]) -> Void] = [
  "json": fuzzJSON, "jsonrpc": fuzzJSONRPC, "mcp": fuzzMCP, "a2a-jsonrpc": fuzzA2AJSONRPC, "a2a-http": fuzzA2AHTTP,
  "agent-card": fuzzAgentCard, "traceparent": fuzzTraceParent, "sse": fuzzSSE,
  "chat-request": fuzzChatRequest, "chat-answer": fuzzChatAnswer, "chat-stream": fuzzChatStream,
  "tool-listing": fuzzToolListing, "tool-result": fuzzToolResult, "jws": fuzzJWS, "form": fuzzForm,
  "json-path": fuzzJSONPath,
  "request-envelope": fuzzEnvelope, "numbers": fuzzNumbers,
  "check-request": fuzzCheckRequest, "record-lines": fuzzRecordLines, "packed-token": fuzzPackedToken,
  "text-index": fuzzTextIndex, "jsonrpc-id": fuzzIDLocation, "decisions": fuzzDecisions,
  "flow-report": fuzzFlowReport, "safetensors": fuzzSafetensors, "tokenizer": fuzzTokenizer,
  "intent-texts": fuzzIntentTexts, "verifier-answer": fuzzVerifierAnswer, "embeddings-answer": fuzzEmbeddingsAnswer,
  "node-policy": fuzzNodePolicy, "kernel-event": fuzzKernelEvent, "trace-query": fuzzTraceQuery,
  "admission-review": fuzzAdmissionReview, "watch": fuzzWatch, "object-list": fuzzObjectList,
  "custom-resources": fuzzCustomResources,
]

/// Ends the run with the input that broke a property.
func require(_ condition: Bool, _ property: StaticString) {
  if !condition { fatalError("broken: \(property)") }
}

/// The input in pieces whose lengths depend on it.
func split(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
  var pieces: [ArraySlice<UInt8>] = []
  var position = 0
  while position < bytes.count {
    let length = min(1 + Int(bytes[position]) % 7, bytes.count - position)
    pieces.append(bytes[position..<(position + length)])
    position += length
  }
  return pieces.isEmpty ? [[]] : pieces
}
