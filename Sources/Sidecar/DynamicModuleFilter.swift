import AgentProtocols
import CASACore
import Enforcement
import Foundation

/// The filter by which CASA's own library decides within Envoy.
struct DynamicModuleFilter {
  let key: SidecarKey
  let listener: String
  let point: EnforcementPoint

  /// Envoy does not start when it can't load the library, or when the library does not take its configuration.
  var filter: JSONValue {
    let settings: JSONValue = [
      "key": .string(key.text), "listener": .string(listener), "cluster": "authorization", "point": point.json,
    ]
    return [
      "name": "envoy.filters.http.dynamic_modules",
      "typed_config": [
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        // Swift's runtime can't be unloaded.
        "dynamic_module_config": ["name": .string(Self.library), "do_not_close": true],
        "filter_name": "casa",
        "filter_config": [
          "@type": "type.googleapis.com/google.protobuf.StringValue", "value": .string(settings.canonicalText),
        ],
      ],
    ]
  }

  private static let library = "casa_filter"

  /// Where Envoy finds the library: `CASA_FILTER_DIRECTORY`, or beside this program.
  static func searchPath(environment: [String: String] = ProcessInfo.processInfo.environment) -> [String: String] {
    let program = Bundle.main.executableURL ?? URL(filePath: CommandLine.arguments.first ?? ".")
    let directory =
      environment["CASA_FILTER_DIRECTORY"]
      ?? program.resolvingSymlinksInPath().deletingLastPathComponent().path(percentEncoded: false)
    return ["ENVOY_DYNAMIC_MODULES_SEARCH_PATH": directory]
  }
}
