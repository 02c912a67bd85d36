public import CASACore
public import Enforcement

/// The filters of any Envoy that ask the authorization service over gRPC: ext_authz about requests, ext_proc about
/// answers on their way back. They are the same in a sidecar of our own and in a mesh's.
public struct ExternalAuthorization: Sendable {
  private let cluster: String
  private let metadata: [(key: String, value: String)]

  /// - Parameters:
  ///   - cluster: Envoy's name for where the service is.
  ///   - sidecarKey: by what the service knows which workload asks; may be a command of Envoy's formats.
  ///   - direction: what the filters say of the listener where no route says it; nil where routes do.
  public init(cluster: String, sidecarKey: String, direction: Direction? = nil) {
    self.cluster = cluster
    metadata =
      [("x-casa-sidecar-key", sidecarKey)] + (direction.map { [("x-casa-listener", $0.rawValue)] } ?? [])
  }

  private func service(timeout: String) -> JSONValue {
    [
      "envoy_grpc": ["cluster_name": .string(cluster)], "timeout": .string(timeout),
      "initial_metadata": .array(metadata.map { ["key": .string($0.key), "value": .string($0.value)] }),
    ]
  }

  /// - Parameter clearsRouteCache: whether a request that was marked is to find another route.
  public func check(clearsRouteCache: Bool) -> JSONValue {
    [
      "name": "envoy.filters.http.ext_authz",
      "typed_config": [
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "grpc_service": service(timeout: "5s"), "transport_api_version": "V3",
        "failure_mode_allow": false, "status_on_error": ["code": "Forbidden"],
        "with_request_body": [
          "max_request_bytes": .number(Double(EnvoyBootstrap.maximumBodyBytes)), "allow_partial_message": false,
          "pack_as_bytes": true,
        ],
        // Repeated headers are shown as they were sent, not joined.
        "encode_raw_headers": true, "clear_route_cache": .bool(clearsRouteCache),
      ],
    ]
  }

  private static let answerFilterName = "envoy.filters.http.ext_proc"

  /// Reads the answers on the routes that have `answerReadingSettings`, and no others: what Envoy answers by itself,
  /// before there is a route or because of a refusal, goes to its caller without anybody being asked.
  public var answerReading: JSONValue { answerFilter(readsAll: false) }

  /// What a route says whose answers are read.
  public static let answerReadingSettings: [String: JSONValue] = [
    answerFilterName: [
      "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute",
      "overrides": ["processing_mode": processing(readsAnswers: true)],
    ]
  ]

  private static func processing(readsAnswers: Bool) -> JSONValue {
    [
      "request_header_mode": "SKIP", "request_body_mode": "NONE", "request_trailer_mode": "SKIP",
      "response_header_mode": readsAnswers ? "SEND" : "SKIP",
      "response_body_mode": readsAnswers ? "STREAMED" : "NONE", "response_trailer_mode": "SKIP",
    ]
  }

  private func answerFilter(readsAll: Bool) -> JSONValue {
    [
      "name": .string(Self.answerFilterName),
      "typed_config": [
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": service(timeout: "600s"), "failure_mode_allow": false, "message_timeout": "5s",
        "processing_mode": Self.processing(readsAnswers: readsAll),
        "metadata_options": ["forwarding_namespaces": ["untyped": ["envoy.filters.http.ext_authz"]]],
      ],
    ]
  }

  /// Reads the answers to requests that were marked, without any route that says so: the filter is passed over for all
  /// others.
  public var markedAnswerReading: JSONValue {
    let action: JSONValue = [
      "name": "skip",
      "typed_config": [
        "@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
      ],
    ]
    let predicate: JSONValue = [
      "not_matcher": [
        "single_predicate": [
          "input": [
            "name": "mark",
            "typed_config": [
              "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
              "header_name": .string(Admission.readAnswerHeader),
            ],
          ],
          "value_match": ["exact": "1"],
        ]
      ]
    ]
    return [
      "name": "casa.marked_answers",
      "typed_config": [
        "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "extension_config": answerFilter(readsAll: true),
        "xds_matcher": [
          "matcher_list": ["matchers": [["predicate": predicate, "on_match": ["action": action]]]]
        ],
      ],
    ]
  }

  /// Takes the mark out of a request before it leaves the proxy.
  public static let unmarking: JSONValue = [
    "name": "casa.unmarking",
    "typed_config": [
      "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
      "mutations": ["request_mutations": [["remove": .string(Admission.readAnswerHeader)]]],
    ],
  ]
}
