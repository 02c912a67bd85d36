import Foundation
import PrivateFiles
import Testing

@Suite("A private file")
struct PrivateFileTests {
  @Test("can be read by its owner only, and replaces what was there")
  func writes() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/secret"
    try #require(
      FileManager.default.createFile(atPath: path, contents: Data("old".utf8), attributes: [.posixPermissions: 0o644]))
    try PrivateFile.write("néw\n", to: path)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "néw\n")
    #expect(try directory.mode(of: "/secret") == 0o600)
    try PrivateFile.write("", to: path)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "")
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["secret"])
  }

  @Test("does not write through a link that somebody put in its draft's place")
  func links() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/secret"
    let elsewhere = directory.path + "/elsewhere"
    try FileManager.default.createSymbolicLink(atPath: path + ".new", withDestinationPath: elsewhere)
    try PrivateFile.write("text", to: path)
    #expect(!FileManager.default.fileExists(atPath: elsewhere))
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "text")
  }

  @Test("is refused where it can't be written")
  func refuses() throws {
    let directory = try TemporaryDirectory()
    #expect(throws: PrivateFileError.self) { try PrivateFile.write("text", to: directory.path + "/none/secret") }
  }
}
