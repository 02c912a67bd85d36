/// The description of the API, as `openapi.json` in the sources has it.
enum OpenAPIDocument {
  static let text = String(decoding: PackageResources.openapi_json, as: UTF8.self)
}
