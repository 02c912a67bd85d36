import ArgumentParser
import Foundation
import Injection
import PrivateFiles

struct InjectorCertificateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "certificate",
    abstract: "Make an authority and a certificate for the webhooks' server.",
    discussion: """
      Writes ca.crt, ca.key, tls.crt and tls.key, the keys readable by their owner only. An authority that is there is
      used as long as a third of its life remains. In a cluster the controller does all this.

      Examples:
        casa injector certificate --directory ./tls --name casa-injector.casa-system.svc
      """)

  @Option(help: ArgumentHelp("Where to write; made when it is missing.", valueName: "folder"))
  var directory: String

  @Option(name: .customLong("name"), help: ArgumentHelp("A DNS name of the server; repeatable.", valueName: "name"))
  var names = ["casa-injector.casa-system.svc"]

  func run() async throws {
    let folder = directory
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    func read(_ name: String) -> String? { try? String(contentsOfFile: folder + "/" + name, encoding: .utf8) }
    let now = Date()
    let authority: CertificateAuthority
    let old = read("ca.crt")
    if let old, let key = read("ca.key"),
      let known = try? CertificateAuthority(certificatePEM: firstCertificate(old), keyPEM: key),
      !known.lifetime.needsRenewal(at: now)
    {
      authority = known
    } else {
      authority = try CertificateAuthority(now: now)
    }
    let serving = try authority.serving(names, now: now)
    try write(
      try CertificateBundle.adding(try authority.certificatePEM(), to: old ?? "", now: now), to: folder + "/ca.crt")
    try PrivateFile.write(authority.keyPEM + "\n", to: folder + "/ca.key")
    try write(try serving.certificatePEM(), to: folder + "/tls.crt")
    try PrivateFile.write(serving.keyPEM + "\n", to: folder + "/tls.key")
    print("\(folder)/tls.crt holds for \(names.joined(separator: ", ")) until \(serving.lifetime.end)")
  }

  /// A bundle has its newest authority first.
  private func firstCertificate(_ bundle: String) -> String {
    let end = "-----END CERTIFICATE-----"
    guard let range = bundle.range(of: end) else { return bundle }
    return String(bundle[..<range.upperBound])
  }

  private func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
  }
}
