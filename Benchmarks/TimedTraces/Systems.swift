import CASACore
import Traces

/// Twenty systems of a client, an agent and three MCP servers each.
struct Systems: TraceDirectory {
  static let count = 20
  static let servers = ["bank", "mail", "files"]
  static let tools = [
    ["get_account_summary", "get_transactions", "transfer_money", "get_contacts"], ["list_mails", "send_mail"],
    ["read_file", "write_file", "search_files"],
  ]

  static func system(_ number: Int) -> MASID { MASID("mas_01a220bbc125fc17c58e493ea41e\(1000 + number)") }
  static func client(_ number: Int) -> AppID { AppID("app_01a220bbc12ccff5de082edf6402\(1000 + number)") }
  static func agent(_ number: Int) -> AppID { AppID("app_01a220bbc132f2067708e63cdd9d\(1000 + number)") }
  static func server(_ server: Int, of number: Int) -> AppID {
    AppID("app_01a220bbc13b6d5cb863071d65f\(server)\(1000 + number)")
  }

  private let names: [MASID: String]
  private let apps: [AppID: (name: String, kind: AppKind)]
  private let list: [(id: AppID, name: String, kind: AppKind, system: MASID)]

  init() {
    var list: [(id: AppID, name: String, kind: AppKind, system: MASID)] = []
    for number in 0..<Self.count {
      let system = Self.system(number)
      list.append((Self.client(number), "client", .client, system))
      list.append((Self.agent(number), "agent", .agent, system))
      for (index, name) in Self.servers.enumerated() {
        list.append((Self.server(index, of: number), name, .mcpServer, system))
      }
    }
    self.list = list
    names = Dictionary(uniqueKeysWithValues: (0..<Self.count).map { (Self.system($0), "system-\($0)") })
    apps = Dictionary(uniqueKeysWithValues: list.map { ($0.id, ($0.name, $0.kind)) })
  }

  func systemName(_ id: MASID) -> String? { names[id] }
  func appName(_ id: AppID) -> (name: String, kind: AppKind)? { apps[id] }
  func appsByName(of system: MASID?) -> [(id: AppID, name: String, kind: AppKind, system: MASID)] {
    list.filter { system == nil || system == $0.system }
  }
  func systemNames() -> [(id: MASID, name: String)] { names.map { ($0.key, $0.value) } }
}
