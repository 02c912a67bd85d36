import Glibc
import SeededRandom
import Testing

@testable import NodeGuard

@Suite("Addresses and prefixes")
struct AddressTests {
  @Test("are printed as RFC 5952 says")
  func canonical() {
    for (text, printed) in [
      ("10.1.2.3", "10.1.2.3"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
      ("::", "::"), ("::1", "::1"), ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
      ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
      ("2001:0db8:0000:0000:0000:0000:0002:0001", "2001:db8::2:1"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
      ("fe80::", "fe80::"), ("::ffff:10.1.2.3", "10.1.2.3"), ("::FFFF:0a01:0203", "10.1.2.3"),
      ("::1.2.3.4", "::102:304"),
      ("0:0:1::", "0:0:1::"),
    ] {
      #expect(NetworkAddress(text)?.description == printed, "\(text)")
    }
  }

  @Test("are nothing but an address")
  func refused() {
    for text in [
      "", "1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.4 ", " 1.2.3.4", "1.2.3.", "1..3.4", "1.2.3.4/8",
      "0x1.2.3.4",
      "1.2.3.4\u{0}", ":", ":::", "1::2::3", "fe80::1%eth0", "[::1]", "::1\u{0}", "::1 ", "1:2:3:4:5:6:7:8:9",
      "::12345", "g::",
      "::ffff:1.2.3.04", "٠.1.2.3",
    ] {
      #expect(NetworkAddress(text) == nil, "\(text)")
    }
  }

  @Test("read back as they were printed, and as the C library prints them")
  func roundTrip() {
    var generator = SeededGenerator(seed: 1)
    for round in 0..<4000 {
      var bits: UInt128 = 0
      for _ in 0..<8 {
        bits =
          bits << 16 | (Bool.random(using: &generator) ? 0 : UInt128(UInt16.random(in: 0...0xFFFF, using: &generator)))
      }
      if round % 4 == 0 {
        bits = NetworkAddress.firstIPv4.bits | UInt128(UInt32.random(in: 0 ... .max, using: &generator))
      }
      let address = NetworkAddress(bits: bits)
      #expect(NetworkAddress(address.description) == address)
      #expect(NetworkAddress(address.kernelValue) == address)
      #expect(SocketAddress(SocketAddress(address, port: 7).description) == SocketAddress(address, port: 7))
      // The C library writes addresses below 2^32 with dots.
      guard !address.isIPv4, bits > 0xFFFF_FFFF else { continue }
      var text = [CChar](repeating: 0, count: 64)
      var bytes = bits.bigEndian
      _ = inet_ntop(AF_INET6, &bytes, &text, 64)
      #expect(
        String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) == address.description)
    }
  }

  @Test("stand in the kernel in network order, IPv4 mapped into IPv6")
  func kernelOrder() throws {
    let value = try #require(NetworkAddress("10.1.2.3")).kernelValue
    #expect(withUnsafeBytes(of: value) { Array($0) } == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 1, 2, 3])
  }

  private func error(_ text: String) -> String {
    do {
      return "none, but \(try AddressPrefix(parsing: text))"
    } catch {
      return error.description
    }
  }

  @Test("prefixes hold the addresses that begin with them")
  func prefixes() throws {
    let ten = try AddressPrefix(parsing: "10.0.0.0/8")
    #expect(ten.description == "10.0.0.0/8")
    #expect(try ten.contains(#require(NetworkAddress("10.255.255.255"))))
    #expect(try ten.contains(#require(NetworkAddress("::ffff:10.0.0.1"))))
    #expect(try !ten.contains(#require(NetworkAddress("11.0.0.0"))))
    #expect(try !ten.contains(#require(NetworkAddress("a00::"))))
    let v6 = try AddressPrefix(parsing: "fd00::/8")
    #expect(v6.description == "fd00::/8")
    #expect(try v6.contains(#require(NetworkAddress("fdff::1"))))
    #expect(try !v6.contains(#require(NetworkAddress("10.1.1.1"))))
    #expect(try AddressPrefix(parsing: "0.0.0.0/0").contains(#require(NetworkAddress("9.9.9.9"))))
    #expect(try !AddressPrefix(parsing: "0.0.0.0/0").contains(#require(NetworkAddress("2001:db8::"))))
    #expect(try AddressPrefix.any.contains(#require(NetworkAddress("2001:db8::"))))
    #expect(try AddressPrefix(parsing: "10.1.2.3/32") == AddressPrefix(parsing: "10.1.2.3"))
    #expect(try AddressPrefix(parsing: "::1").description == "::1")
  }

  @Test("errors say what to write instead")
  func errors() {
    #expect(error("10.1.2.3/8").contains("write 10.0.0.0/8"))
    #expect(error("fd00::1/8").contains("write fd00::/8"))
    #expect(error("::ffff:10.0.0.0/104").contains("write 10.0.0.0/8"))
    #expect(error("::ffff:10.1.2.3").contains("write 10.1.2.3"))
    #expect(error("::ffff:10.1.2.3/104").contains("write 10.0.0.0/8"))
    #expect(error("::/0").contains("covers the addresses of IPv4 too"))
    #expect(error("::/80").contains("covers the addresses of IPv4 too"))
    #expect(error("::ffff:0:0/95").contains("write"))
    #expect(error("fe80::1%eth0").contains("no zone"))
    #expect(error("10.0.0.0/33").contains("from 0 to 32"))
    #expect(error("fd00::/129").contains("from 0 to 128"))
    for text in ["10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8/8", "/8", "example.com", ""] {
      #expect(error(text).contains("expected"), "\(text)")
    }
  }

  @Test("ports are from 1 to 65535, in ranges that grow")
  func ports() {
    #expect(PortRange("80")?.description == "80")
    #expect(PortRange("8000-8010")?.description == "8000-8010")
    #expect(PortRange("65535")?.contains(65535) == true)
    for text in ["", "0", "00", "080", "65536", "-1", "1-", "-", "2-1", "0-5", "1-2-3", "1 ", "+1", "٣"] {
      #expect(PortRange(text) == nil, "\(text)")
    }
  }

  @Test("socket addresses have brackets around IPv6 alone")
  func socketAddresses() {
    #expect(SocketAddress("127.0.0.1:15001")?.description == "127.0.0.1:15001")
    #expect(SocketAddress("[::1]:80")?.description == "[::1]:80")
    for text in ["::1:80", "[127.0.0.1]:80", "127.0.0.1", "127.0.0.1:0", "[::1]", "[]:80", ":80", "a:80", "[::1]:1-2"] {
      #expect(SocketAddress(text) == nil, "\(text)")
    }
  }
}
