import AgentProtocols
import CASACore
import Enforcement
import Foundation

/// The filter by which CASA's own library decides within Envoy.
public struct DynamicModuleFilter {
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
  private static func directory(_ environment: [String: String]) -> String {
    let program = Bundle.main.executableURL ?? URL(filePath: CommandLine.arguments.first ?? ".")
    return environment["CASA_FILTER_DIRECTORY"]
      ?? program.resolvingSymlinksInPath().deletingLastPathComponent().path(percentEncoded: false)
  }

  static func searchPath(environment: [String: String] = ProcessInfo.processInfo.environment) -> [String: String] {
    ["ENVOY_DYNAMIC_MODULES_SEARCH_PATH": directory(environment)]
  }

  /// Says where the library is expected before Envoy fails on it.
  /// - Throws: `ConfigurationError` when it is not there.
  public static func requireLibrary(
    environment: [String: String]? = nil
  ) throws(ConfigurationError) {
    let path = (directory(environment ?? ProcessInfo.processInfo.environment) as NSString).appendingPathComponent(
      "lib\(library).so")
    guard FileManager.default.isReadableFile(atPath: path) else {
      throw ConfigurationError(
        "\(path) is missing, the library that decides within Envoy: build it (make build), say where it is in CASA_FILTER_DIRECTORY, or choose `adapter: lua` or `adapter: grpc`"
      )
    }
  }
}
