internal import AgentProtocols
public import CASACore
internal import HTTPTypes
public import Hummingbird
public import Logging
internal import NIOCore
internal import Traces

/// The web pages that show why every call was allowed or refused: everything under `/explorer`, and `GET /`, which
/// leads there. It changes nothing but who is signed in.
public struct Explorer: HTTPResponder {
  public typealias Context = BasicRequestContext

  /// Longer paths with their queries are refused with 414.
  static let maximumTargetBytes = 8192
  /// Larger sign-in forms are refused with 413.
  static let maximumFormBytes = 4096
  static let cookieName = "casa_session"

  let data: any ExplorerData
  let browser: any BrowserAccess
  let templates: Templates
  let assets: Assets
  let clock: WallClock
  let logger: Logger

  /// - Throws: when a template that is compiled in can't be read, which a test would show.
  public init(
    data: any ExplorerData, browser: any BrowserAccess, logger: Logger, clock: WallClock = .system
  ) throws {
    self.data = data
    self.browser = browser
    self.logger = logger
    self.clock = clock
    assets = Assets()
    templates = try Templates()
  }

  public func respond(to request: Request, context: Context) async throws -> Response {
    guard request.method != .head else {
      var head = request.head
      head.method = .get
      return await response(to: Request(head: head, body: request.body)).createHeadResponse()
    }
    return await response(to: request)
  }

  func response(to request: Request) async -> Response {
    let target = request.head.path ?? "/"
    guard target.utf8.count <= Self.maximumTargetBytes else {
      return page(
        .problem(.uriTooLong, "the address has more than the \(Self.maximumTargetBytes) bytes that are read"),
        status: .uriTooLong, access: nil)
    }
    let path = String(target.prefix { $0 != "?" })
    if path == "/" { return redirect(to: "/explorer") }
    let parts = path.split(separator: "/").map(String.init)
    if parts.count == 3, parts[1] == "assets" { return asset(parts[2], request) }
    switch (request.method, Array(parts.dropFirst())) {
    case (.get, ["sign-in"]): return await signInPage(request)
    case (.post, ["sign-in"]): return await signIn(request)
    case (.post, ["sign-out"]): return signOut(request)
    case (.get, let rest): return await dataPage(rest, request)
    default:
      let post = rest(parts) == ["sign-in"] || rest(parts) == ["sign-out"]
      var response = page(
        .problem(.methodNotAllowed, "the Explorer shows things and changes none; this address takes only GET"),
        status: .methodNotAllowed, access: nil)
      response.headers[.allow] = post ? "GET, HEAD, POST" : "GET, HEAD"
      return response
    }
  }

  private func rest(_ parts: [String]) -> [String] { Array(parts.dropFirst()) }

  // MARK: Pages of data

  private func dataPage(_ parts: [String], _ request: Request) async -> Response {
    guard let access = await browser.access(cookie: cookie(of: request), host: request.head.authority) else {
      if browser.isOpen {
        return page(
          .problem(.forbidden, "this address is open only to this machine's own browser"), status: .forbidden,
          access: nil)
      }
      let target = request.head.path ?? "/explorer"
      let next = target == "/explorer" ? "" : "?next=" + Link.encode(target)
      return redirect(to: "/explorer/sign-in" + next)
    }
    do {
      let query = try Self.query(of: request)
      guard let found = try await view(parts, query, access) else {
        return page(
          .problem(.notFound, "nothing that you may read is at this address"), status: .notFound, access: access)
      }
      return page(found, status: .ok, access: access)
    } catch let error as InvalidField {
      return page(.problem(.badRequest, error.description), status: .badRequest, access: access)
    } catch {
      logger.error(
        "a page could not be read", metadata: ["page": "\(parts.first ?? "dashboard")", "error": "\(error)"])
      return page(
        .problem(.serviceUnavailable, "the trace can't be read now; reload this page in a moment"),
        status: .serviceUnavailable, access: access)
    }
  }

  private func view(_ parts: [String], _ query: [String: String], _ access: ReadAccess) async throws -> Page? {
    switch (parts.first, parts.count) {
    case (nil, _): return try await dashboard(query, access)
    case ("systems", 1): return try await systems(query, access)
    case ("systems", 2):
      guard let id = MASID(validating: parts[1]) else { return nil }
      return try await system(id, query, access)
    case ("sessions", 1): return try await sessions(query, access)
    case ("sessions", 2):
      guard let id = UserInputID(validating: parts[1]) else { return nil }
      return try await session(id, query, access)
    case ("live", 1): return try await live(query, access)
    case ("alerts", 1): return try await alerts(query, access)
    case ("search", 1): return try await search(query, access)
    default: return nil
    }
  }

  /// The parameters that have a value.
  /// - Throws: `InvalidField`
  static func query(of request: Request) throws(InvalidField) -> [String: String] {
    guard let path = request.head.path, let mark = path.firstIndex(of: "?") else { return [:] }
    let form: FormBody
    do {
      form = try FormBody(parsing: Array(path[path.index(after: mark)...].utf8), maximumFields: 16)
    } catch {
      throw InvalidField("query", expected: "at most 16 parameters, each once and in UTF-8 (\(error))")
    }
    var values: [String: String] = [:]
    for name in form.names { values[name] = form[name] }
    return values
  }

  // MARK: Signing in and out

  private func signInPage(_ request: Request) async -> Response {
    let next = Self.destination((try? Self.query(of: request))?["next"])
    if await browser.access(cookie: cookie(of: request), host: request.head.authority) != nil {
      return redirect(to: next)
    }
    return page(Page.signIn(next: next, problem: nil), status: .ok, access: nil)
  }

  private func signIn(_ request: Request) async -> Response {
    guard Self.comesFromHere(request) else { return refusedForgery() }
    let form: FormBody
    do {
      guard let type = request.headers[.contentType], ContentType.isUTF8(type, of: "application/x-www-form-urlencoded")
      else {
        return page(
          .problem(.unsupportedMediaType, "`Content-Type` must be application/x-www-form-urlencoded"),
          status: .unsupportedMediaType, access: nil)
      }
      let body = try await request.body.collect(upTo: Self.maximumFormBytes)
      form = try FormBody(parsing: Array(body.readableBytesView), maximumFields: 4)
    } catch {
      return page(
        .problem(.badRequest, "the form must have the field `credential` and at most \(Self.maximumFormBytes) bytes"),
        status: .badRequest, access: nil)
    }
    let next = Self.destination(form["next"])
    // Attempts aren't counted: nobody guesses 256 random bits, and a limit would let anyone lock others out.
    guard let credential = form["credential"], let value = await browser.signIn(credential: credential),
      value.utf8.allSatisfy(Self.isCookieByte)
    else {
      logger.notice("a sign-in to the Explorer was refused")
      return page(
        Page.signIn(next: next, problem: "That is no credential of the administrator or of a reader."),
        status: .unauthorized, access: nil)
    }
    var response = redirect(to: next)
    response.headers[.setCookie] = Self.cookie(value, of: request)
    return response
  }

  private func signOut(_ request: Request) -> Response {
    guard Self.comesFromHere(request) else { return refusedForgery() }
    var response = redirect(to: "/explorer/sign-in")
    response.headers[.setCookie] = Self.cookie("", of: request) + "; Max-Age=0"
    return response
  }

  private func refusedForgery() -> Response {
    page(
      .problem(.forbidden, "this form was sent from another site; open the Explorer itself and send it from there"),
      status: .forbidden, access: nil)
  }

  /// Whether a request that changes something was made by a page of this origin. Browsers say so; what no browser sent
  /// needs an `Origin` with this host.
  static func comesFromHere(_ request: Request) -> Bool {
    if let site = single(.secFetchSite, of: request) { return site == "same-origin" }
    guard !request.headers.contains(.secFetchSite), let origin = single(.origin, of: request),
      let host = request.head.authority, !host.isEmpty
    else { return false }
    return origin == "http://" + host || origin == "https://" + host
  }

  private static func single(_ name: HTTPField.Name, of request: Request) -> String? {
    let values = request.headers[values: name]
    return values.count == 1 ? values.first : nil
  }

  /// The cookie's value; nil when there is none or there are several.
  private func cookie(of request: Request) -> String? {
    let values = request.headers[values: .cookie].flatMap { $0.split(separator: ";") }.compactMap { pair -> String? in
      let pair = pair.drop { $0 == " " }
      guard pair.hasPrefix(Self.cookieName + "=") else { return nil }
      return String(pair.dropFirst(Self.cookieName.count + 1))
    }
    return values.count == 1 && values[0].utf8.count <= 1024 ? values[0] : nil
  }

  private static func cookie(_ value: String, of request: Request) -> String {
    let secure = request.head.scheme == "https" ? "; Secure" : ""
    return "\(cookieName)=\(value); Path=/; HttpOnly; SameSite=Strict" + secure
  }

  private static func isCookieByte(_ byte: UInt8) -> Bool {
    (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: ",")
      && byte != UInt8(ascii: ";") && byte != UInt8(ascii: "\\")
  }

  /// Where to go after signing in: a page of the Explorer, and nowhere else.
  static func destination(_ next: String?) -> String {
    guard let next, next == "/explorer" || next.hasPrefix("/explorer/") || next.hasPrefix("/explorer?"),
      next.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\\") }),
      !next.hasPrefix("/explorer/sign-in")
    else { return "/explorer" }
    return next
  }

  // MARK: Answers

  private func asset(_ name: String, _ request: Request) -> Response {
    guard request.method == .get, let asset = assets.files[name] else {
      return page(.problem(.notFound, "nothing is at this address"), status: .notFound, access: nil)
    }
    var headers = Self.securityHeaders
    headers[.cacheControl] = "public, max-age=31536000, immutable"
    headers[.eTag] = asset.entityTag
    if request.headers[.ifNoneMatch] == asset.entityTag { return Response(status: .notModified, headers: headers) }
    headers[.contentType] = asset.contentType
    headers[.contentLength] = String(asset.bytes.count)
    return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: asset.bytes)))
  }

  private func redirect(to location: String) -> Response {
    var headers = Self.securityHeaders
    headers[.location] = location
    headers[.cacheControl] = "no-store"
    headers[.contentLength] = "0"
    return Response(status: .seeOther, headers: headers)
  }

  private func page(_ page: Page, status: HTTPResponse.Status, access: ReadAccess?) -> Response {
    var view = page.view
    view["title"] = page.title
    view["asset"] = assets.paths.mapKeys { $0.split(separator: ".").joined(separator: "_") }
    view["page"] = page.template
    view["signedIn"] = access != nil
    view["reader"] = access?.name ?? ""
    view["canSignOut"] = access != nil && !browser.isOpen
    view["nav"] = Page.sections.map { section -> View in
      [
        "label": section.label, "href": section.href, "key": section.key, "current": section.href == page.section,
      ]
    }
    view["scripts"] = page.scripts.compactMap { name in assets.paths[name].map { ["src": $0] as View } }
    if view["query"] == nil { view["query"] = "" }
    let body = ByteBuffer(string: templates.render(view, page.template))
    var headers = Self.securityHeaders
    headers[.contentType] = "text/html; charset=utf-8"
    headers[.cacheControl] = "no-store"
    headers[.contentLength] = String(body.readableBytes)
    return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: body))
  }

  private static let securityHeaders: HTTPFields = [
    .contentSecurityPolicy: """
    default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'
    """,
    .xContentTypeOptions: "nosniff",
    .xFrameOptions: "DENY",
    .referrerPolicy: "no-referrer",
    .crossOriginOpenerPolicy: "same-origin",
    .crossOriginResourcePolicy: "same-origin",
    .permissionsPolicy: "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
  ]
}

extension Dictionary {
  fileprivate func mapKeys(_ transform: (Key) -> Key) -> [Key: Value] {
    Dictionary(map { (transform($0.key), $0.value) }, uniquingKeysWith: { $1 })
  }
}

extension HTTPField.Name {
  // swift-format-ignore: NeverForceUnwrap
  fileprivate static let secFetchSite = HTTPField.Name("Sec-Fetch-Site")!
  // swift-format-ignore: NeverForceUnwrap
  fileprivate static let xFrameOptions = HTTPField.Name("X-Frame-Options")!
  // swift-format-ignore: NeverForceUnwrap
  fileprivate static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
  // swift-format-ignore: NeverForceUnwrap
  fileprivate static let crossOriginOpenerPolicy = HTTPField.Name("Cross-Origin-Opener-Policy")!
  // swift-format-ignore: NeverForceUnwrap
  fileprivate static let permissionsPolicy = HTTPField.Name("Permissions-Policy")!
}
