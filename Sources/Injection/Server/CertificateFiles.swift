import Foundation
import Logging
import NIOSSL
import SwiftASN1
import Synchronization
import X509

/// The server's certificate and key in files, taken over again when they change. Connections that are open go on with
/// what they began with; a file that can't be used leaves what is in use, and is said so once.
final class CertificateFiles: Sendable {
  struct Paths: Sendable {
    let certificate: String
    let key: String
    /// Whose certificates callers must show; nil asks for none.
    let clientAuthority: String?
  }

  /// How often the files are looked at: a Secret's volume tells of no change.
  private static let pause = Duration.seconds(1)
  private static let maximumBytes = 65_536

  private struct State {
    var context: NIOSSLContext
    var expires: Date
    var contents: [Data]
    /// What could not be used, so that it is complained of once.
    var refused: [Data]?
    var reloads = 0
    var failures = 0
  }

  private let paths: Paths
  private let logger: Logger
  private let state: Mutex<State>

  /// - Throws: `UnusableCertificate` when the files can't be used.
  init(_ paths: Paths, logger: Logger) throws(UnusableCertificate) {
    self.paths = paths
    self.logger = logger
    let contents = try Self.read(paths)
    let (context, expires) = try Self.context(contents)
    state = Mutex(State(context: context, expires: expires, contents: contents))
  }

  /// What a new connection goes by.
  var context: NIOSSLContext { state.withLock { $0.context } }
  var expires: Date { state.withLock { $0.expires } }
  /// How often files were taken over and how often not, since the start.
  var counts: (reloads: Int, failures: Int) { state.withLock { ($0.reloads, $0.failures) } }

  /// Follows the files until the task is cancelled.
  func follow() async {
    while !Task.isCancelled {
      do { try await Task.sleep(for: Self.pause) } catch { return }
      refresh()
    }
  }

  func refresh() {
    do throws(UnusableCertificate) {
      let contents = try Self.read(paths)
      guard state.withLock({ $0.contents != contents && $0.refused != contents }) else { return }
      do throws(UnusableCertificate) {
        let (context, expires) = try Self.context(contents)
        state.withLock { state in
          state = State(
            context: context, expires: expires, contents: contents, reloads: state.reloads + 1,
            failures: state.failures)
        }
        logger.notice("a new certificate is in use", metadata: ["expires": "\(expires)"])
      } catch {
        complain(of: error, contents)
      }
    } catch {
      complain(of: error, [])
    }
  }

  private func complain(of error: UnusableCertificate, _ contents: [Data]) {
    let isNew = state.withLock { state in
      guard state.refused != contents else { return false }
      state.refused = contents
      state.failures += 1
      return true
    }
    if isNew { logger.error("a new certificate can't be used; the one before stays in use: \(error)") }
  }

  private static func read(_ paths: Paths) throws(UnusableCertificate) -> [Data] {
    var contents: [Data] = []
    for path in [paths.certificate, paths.key] + (paths.clientAuthority.map { [$0] } ?? []) {
      guard let file = FileHandle(forReadingAtPath: path), let data = try? file.read(upToCount: maximumBytes + 1),
        data.count <= maximumBytes
      else { throw UnusableCertificate("\(path) can't be read, or has more than \(maximumBytes) bytes") }
      contents.append(data)
    }
    return contents
  }

  private static func context(_ contents: [Data]) throws(UnusableCertificate) -> (NIOSSLContext, Date) {
    let chain: [NIOSSLCertificate]
    let expires: Date
    do {
      chain = try NIOSSLCertificate.fromPEMBytes(Array(contents[0]))
      guard let leaf = chain.first else { throw UnusableCertificate("there is none") }
      expires = try Certificate(derEncoded: try leaf.toDERBytes()).notValidAfter
    } catch {
      throw UnusableCertificate("the certificate's file must hold PEM certificates, the server's first")
    }
    guard expires > Date() else { throw UnusableCertificate("the certificate expired at \(expires)") }
    let key: NIOSSLPrivateKey
    do {
      key = try NIOSSLPrivateKey(bytes: Array(contents[1]), format: .pem)
    } catch {
      throw UnusableCertificate("the key's file must hold one PEM key")
    }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
    configuration.minimumTLSVersion = .tlsv12
    configuration.applicationProtocols = ["http/1.1"]
    if contents.count > 2 {
      do {
        configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(contents[2])))
      } catch {
        throw UnusableCertificate("the client authority's file must hold PEM certificates")
      }
      configuration.certificateVerification = .noHostnameVerification
    }
    do {
      return (try NIOSSLContext(configuration: configuration), expires)
    } catch {
      throw UnusableCertificate("the key must be that of the certificate: \(error)")
    }
  }
}
