import AgentProtocols
import CASACore
import Enforcement

/// The filters by which Envoy's Lua asks the authorization service: the script, and behind it one that refuses every
/// request the script did not mark. Envoy lets a request pass whose script fails; the second filter does not.
struct LuaFilter {
  let key: SidecarKey
  let listener: String

  var script: JSONValue {
    [
      "name": "envoy.filters.http.lua",
      "typed_config": [
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": ["inline_string": .string(settings + Self.source)],
      ],
    ]
  }

  /// Behind every script.
  static var guardian: JSONValue {
    [
      "name": "envoy.filters.http.rbac",
      "typed_config": [
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": [
          "action": "ALLOW",
          "policies": [
            "admitted": [
              "permissions": [
                [
                  "sourced_metadata": [
                    "metadata_source": "DYNAMIC",
                    "metadata_matcher": [
                      "filter": "casa", "path": [["key": "admitted"]], "value": ["string_match": ["exact": "yes"]],
                    ],
                  ]
                ]
              ],
              "principals": [["any": true]],
            ]
          ],
        ],
      ],
    ]
  }

  private static let source = String(decoding: PackageResources.casa_lua, as: UTF8.self)

  private static let noAnswer = RefusalBody(.noAnswer, record: nil)

  /// Lua's error messages name a script by its first line, so that line holds no secret.
  private var settings: String {
    """
    -- casa.lua
    local KEY, LISTENER = \(Self.literal(key.text)), \(Self.literal(listener))
    local NO_ANSWER, NO_ANSWER_TYPE = \(Self.literal(Self.noAnswer.text)), \(Self.literal(Self.noAnswer.contentType))

    """
  }

  /// A text as Lua's source writes it, whatever its characters are.
  static func literal(_ text: String) -> String {
    var literal = "\""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): literal += "\\" + String(Unicode.Scalar(byte))
      case 0x20...0x7E: literal.unicodeScalars.append(Unicode.Scalar(byte))
      // Three digits always: a digit that follows would otherwise be taken for one of them.
      default: literal += "\\" + String(repeating: "0", count: 3 - String(byte).count) + String(byte)
      }
    }
    return literal + "\""
  }
}
