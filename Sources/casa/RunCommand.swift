import ArgumentParser
import CASACore
import Foundation
import LocalMode

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Start an app of the system that `casa up` runs, pointed at its sidecar.",
    discussion: """
      Sets what tells the app its sidecar's addresses: CASA_URL_NAME for each app that it may call, and OPENAI_BASE_URL
      for the LLM. With `casa up --node-guard` it first joins the app's cgroup, so that the kernel holds the app and all
      that it starts; then, or if it can't, nothing is started unguarded.

      Examples:
        casa run agent -- python agent.py
        sudo casa run agent -- sudo -u me python agent.py       # guarded, and not as root
      """)

  @Option(help: "The folder of `casa up`.")
  var directory = "./.casa"

  @Argument(help: "The app, by its name in the system.")
  var app: String

  @Argument(parsing: .postTerminator, help: "What to run, after --.")
  var command: [String]

  func run() throws {
    guard let name = Name(app) else {
      throw ValidationError("an app's name is 1 to 63 of a-z, 0-9 and -; got '\(app)'")
    }
    guard let program = command.first else { throw ValidationError("say what to run: casa run \(name) -- COMMAND") }
    try AppLaunch.load(name, directory: directory).enter()
    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
    arguments.append(nil)
    // What this thread blocks the program would block too, and then nothing could ask it to end.
    var none = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, nil)
    execvp(program, &arguments)
    let reason = String(cString: strerror(errno))
    FileHandle.standardError.write(Data("\(program) can't be run: \(reason)\n".utf8))
    throw ExitCode(127)
  }
}
