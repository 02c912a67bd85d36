import Sidecar
import Testing

@Suite("An HTTP endpoint")
struct HTTPEndpointTests {
  @Test(
    "is taken apart",
    arguments: [
      ("http://a", "a", 80, "/", "a"), ("https://a.example", "a.example", 443, "/", "a.example"),
      ("http://a:8080/mcp", "a", 8080, "/mcp", "a:8080"), ("https://a:443/x/y/", "a", 443, "/x/y/", "a"),
      ("http://127.0.0.1:9/v1", "127.0.0.1", 9, "/v1", "127.0.0.1:9"), ("http://[::1]:80/", "::1", 80, "/", "[::1]"),
      ("http://[::1]", "::1", 80, "/", "[::1]"),
      ("http://[fe80::1]:8080/mcp", "fe80::1", 8080, "/mcp", "[fe80::1]:8080"),
      ("https://a:80/", "a", 80, "/", "a:80"),
    ])
  func parses(text: String, host: String, port: Int, path: String, authority: String) throws {
    let endpoint = try #require(HTTPEndpoint(text))
    #expect(endpoint.host == host)
    #expect(endpoint.port == port)
    #expect(endpoint.path == path)
    #expect(endpoint.authority == authority)
    #expect(HTTPEndpoint(endpoint.description) == endpoint)
  }

  @Test(
    "is nothing else",
    arguments: [
      "", "a", "a:80", "ftp://a", "HTTP://a", "http:/a", "http://", "http:///x", "http://:80", "http://a:",
      "http://a:0", "http://a:65536",
      "http://a:+80", "http://a:-80", "http://a:8 0", "http://a:80:80", "http://user@a", "http://user:pw@a/",
      "http://a?x=1", "http://a/x?y",
      "http://a/#f", "http://a/%2e%2e", "http://a\\b", "http://a b", "http://a/ ", "http://é", "http://a/é",
      "http://a\n", "http://[::1",
      "http://::1:80", "http://a/\u{212A}",
    ])
  func refuses(text: String) { #expect(HTTPEndpoint(text) == nil) }

  @Test("has at most 2048 bytes")
  func length() {
    #expect(HTTPEndpoint("http://a/" + String(repeating: "x", count: 2039)) != nil)
    #expect(HTTPEndpoint("http://a/" + String(repeating: "x", count: 2040)) == nil)
  }
}

@Suite("An address to listen at")
struct ListenAddressTests {
  @Test(
    "is a port or a socket",
    arguments: [
      ("127.0.0.1:80", .tcp(host: "127.0.0.1", port: 80)), ("localhost:65535", .tcp(host: "localhost", port: 65_535)),
      ("[::1]:1", .tcp(host: "::1", port: 1)), ("unix:/run/casa.sock", .unix(path: "/run/casa.sock")),
    ] as [(String, ListenAddress)])
  func parses(text: String, address: ListenAddress) {
    #expect(ListenAddress(text) == address)
    #expect(address.description == text)
  }

  @Test(
    "is nothing else",
    arguments: [
      "", ":", "a", ":80", "a:", "a:0", "a:65536", "a:x", "a:+1", "a:-1", "a:80 ", " a:80", "::1:80", "[]:80", "a/b:80",
      "http://a:80",
      "é:80", "unix:", "unix:relative", "unix:@abstract", "a:99999999999999999999",
    ])
  func refuses(text: String) { #expect(ListenAddress(text) == nil) }

  @Test("has a socket's path that the kernel can hold")
  func socketPath() {
    #expect(ListenAddress("unix:/" + String(repeating: "x", count: 106)) != nil)
    #expect(ListenAddress("unix:/" + String(repeating: "x", count: 107)) == nil)
  }

  @Test(
    "is literal when it is an IP address",
    arguments: ["127.0.0.1:80", "0.0.0.0:80", "[::]:80", "[::1]:80", "[::ffff:1.2.3.4]:80"])
  func literal(text: String) { #expect(ListenAddress(literal: text) != nil) }

  @Test(
    "is not literal when it could be resolved to another, or is no address at all",
    arguments: [
      "localhost:80", "a.b.c.d:80", "1.2.3:80", "1.2.3.4.5:80", "1.2.3.256:80", "1..2.3:80", "+1.2.3.4:80",
      "01.2.3.4:80", "[zz::]:80",
      "[::1%eth0]:80", "unix:/x", "example.com:80",
    ])
  func notLiteral(text: String) { #expect(ListenAddress(literal: text) == nil) }
}
