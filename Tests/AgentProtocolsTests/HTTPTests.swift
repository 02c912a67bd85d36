import AgentProtocols
import CASACore
import SeededRandom
import Testing

@Suite("Credentials of an Authorization field")
struct AuthorizationFieldTests {
  @Test(
    "hold the bearer token",
    arguments: [
      ("Bearer mF_9.B5f-4.1JqM", "mF_9.B5f-4.1JqM"), ("bearer a", "a"), ("BEARER   a~+/", "a~+/"),
      ("Bearer a==", "a=="),
    ])
  func bearer(field: String, token: String) { #expect(BearerCredentials(headerValue: field)?.token == token) }

  @Test(
    "hold no bearer token unless it is the only thing there",
    arguments: [
      "", "Bearer", "Bearer ", "Bearera", " Bearer a", "Bearer\ta", "Bearer a ", "Bearer a b", "Bearer a,b",
      "Bearer a, Bearer b",
      "Basic a", "Bearer =", "Bearer a=b", "Bearer a\u{0}", "Bearer é", "Bearer \u{301}a", "Bearer a\r\nX: y",
      "Bearer\u{A0}a",
      "Bear\u{212F}r a", "Token a", "Bearer \"a\"",
    ])
  func noBearer(field: String) { #expect(BearerCredentials(headerValue: field) == nil) }

  @Test("are refused beyond 8192 bytes")
  func bearerLimit() {
    #expect(BearerCredentials(headerValue: "Bearer " + String(repeating: "a", count: 8185)) != nil)
    #expect(BearerCredentials(headerValue: "Bearer " + String(repeating: "a", count: 8186)) == nil)
  }

  @Test(
    "hold user and password",
    arguments: [
      ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"), ("basic  YTpiOmM=", "a", "b:c"),
      ("BASIC Og==", "", ""),
      ("Basic YSUzQWI6cCUyNSsx", "a:b", "p% 1"), ("Basic dGVzdDoxMjPCow==", "test", "123£"),
    ])
  func basic(field: String, userID: String, password: String) {
    let credentials = BasicCredentials(headerValue: field)
    #expect(credentials?.userID == userID)
    #expect(credentials?.password == password)
  }

  @Test(
    "hold no user and password when anything is wrong with them",
    arguments: [
      "", "Basic", "Basic ", "Bearer Og==", "Basic YQ==", "Basic Og", "Basic Og== ", "Basic YTpi YTpi",
      "Basic YTolMDA=",
      "Basic YTolMGE=", "Basic YTolNA==", "Basic YTr/", "Basic YToK",
    ])
  func noBasic(field: String) { #expect(BasicCredentials(headerValue: field) == nil) }

  @Test("are read as they were written", arguments: [("app_0a", "cs_x-Y_9"), ("", "")])
  func written(userID: String, password: String) {
    let credentials = BasicCredentials(
      headerValue: BasicCredentials.headerValue(userID: userID, password: password))
    #expect(credentials?.userID == userID)
    #expect(credentials?.password == password)
  }

  @Test("are not shown in descriptions")
  func descriptions() throws {
    #expect(!"\(try #require(BearerCredentials(headerValue: "Bearer zzz")))".contains("zzz"))
    #expect(!"\(try #require(BasicCredentials(headerValue: "Basic YTpi")))".contains("b:"))
  }
}

@Suite("A form")
struct FormBodyTests {
  private func error(_ text: String, maximumFields: Int = 64) -> FormBodyError? {
    do {
      _ = try FormBody(parsing: Array(text.utf8), maximumFields: maximumFields)
      return nil
    } catch {
      return error
    }
  }

  @Test("is read as RFC 6749 appendix B says")
  func reads() throws {
    let form = try FormBody(
      parsing: Array("grant_type=a%3Ab&scope=x+y%20z&+%25%26%2B%C2%A3%E2%82%AC=1%3d%3D2=3&e=%F0%9F%98%80".utf8))
    #expect(form["grant_type"] == "a:b")
    #expect(form["scope"] == "x y z")
    #expect(form[" %&+£€"] == "1==2=3")
    #expect(form["e"] == "😀")
    #expect(form["missing"] == nil)
    #expect(Set(form.names) == ["grant_type", "scope", " %&+£€", "e"])
  }

  @Test("has no parameter where a value is missing")
  func emptyValues() throws {
    let form = try FormBody(parsing: Array("a=&b&c=1&&".utf8))
    #expect(form["a"] == nil)
    #expect(form["b"] == nil)
    #expect(form.names == ["c"])
    #expect(try FormBody(parsing: []).names.isEmpty)
  }

  @Test(
    "is refused with a name sent twice, whatever its value and writing",
    arguments: ["a=1&a=2", "a=1&a=1", "a=&a=1", "a=1&a", "a=1&%61=2", "b=1&a=1&c=1&a=2", "%C3%A9=1&e%CC%81=2"])
  func repeated(text: String) { #expect(error(text) == .repeatedName) }

  @Test(
    "is refused with a broken escape, bytes that are not UTF-8 and U+0000",
    arguments: [
      "a=%", "a=%4", "a=%4&b=1", "a=%zz", "a=%-1", "a=% 1", "%=1", "a=%00", "%00=1", "a=\u{0}", "a=%80", "a=%C0%80",
      "a=%ED%A0%80",
      "a=%C3", "%FF=1", "a=%u0041",
    ])
  func invalid(text: String) { #expect(error(text) == .invalidEncoding) }

  @Test("has at most so many fields")
  func fields() {
    #expect(error("a=1&b=2", maximumFields: 2) == nil)
    #expect(error("a=1&b=2&c", maximumFields: 2) == .tooManyFields(maximum: 2))
    #expect(error((0..<65).map { "f\($0)=1" }.joined(separator: "&")) == .tooManyFields(maximum: 64))
    #expect(error((0..<64).map { "f\($0)=1" }.joined(separator: "&")) == nil)
    #expect(error("a", maximumFields: 0) == .tooManyFields(maximum: 0))
    #expect(error("", maximumFields: 0) == nil)
  }

  @Test("is refused quickly when its names are costly to compare", .timeLimit(.minutes(1)))
  func hostile() {
    let marks = String(repeating: "%CC%81%CC%A3", count: 100_000)
    #expect(error("a\(marks)=1&b\(marks)=1") == .invalidEncoding)
  }

  @Test("gives back what was written")
  func roundTrip() throws {
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<300 {
      let name = generator.text()
      let value = generator.text()
      let form = try FormBody(parsing: FormBody.encode([(name, value), ("last", "1")]))
      #expect(form[name] == (value.isEmpty ? nil : value))
      #expect(form["last"] == "1")
    }
  }
}

@Suite("What a body is said to be")
struct ContentFieldTests {
  private static let json = "application/json"

  @Test(
    "is a type in UTF-8",
    arguments: [
      "application/json", "Application/JSON", "application/json;", "application/json; charset=utf-8",
      "application/json;Charset=\"UTF-8\" ;", "application/json\t;\tcharset=UTF-8",
    ])
  func types(value: String) {
    #expect(ContentType.isUTF8(value, of: Self.json))
    #expect(ContentType.names(Self.json, in: value))
  }

  @Test(
    "is another type, or none",
    arguments: [
      "", ";", "application/jsonl", "text/html", "application/json, text/html", "application/json\u{301}",
      "application/j\u{17F}on",
    ])
  func otherTypes(value: String) {
    #expect(!ContentType.isUTF8(value, of: Self.json))
    #expect(!ContentType.names(Self.json, in: value))
  }

  @Test("is not UTF-8 with another parameter", arguments: ["charset=utf-16", "charset=utf-8\u{301}", "boundary=a"])
  func parameters(parameter: String) {
    let value = Self.json + "; " + parameter
    #expect(!ContentType.isUTF8(value, of: Self.json))
    #expect(ContentType.names(Self.json, in: value))
  }

  @Test("is encoded unless it says that it is not")
  func encodings() {
    for value in ["identity", "Identity", "IDENTITY", nil] { #expect(ContentEncoding.isIdentity(value)) }
    for value in ["", "gzip", "identity, gzip", "identity ", "identit", "identity\u{301}", "\u{130}dentity"] {
      #expect(!ContentEncoding.isIdentity(value))
    }
  }

  @Test("is read quickly when it is costly to compare", .timeLimit(.minutes(1)))
  func hostile() {
    let marks = String(repeating: "\u{301}\u{323}", count: 200_000)
    for value in [marks, Self.json + ";" + marks, Self.json + marks] {
      #expect(!ContentType.isUTF8(value, of: Self.json))
      #expect(!ContentEncoding.isIdentity(value))
    }
  }
}
