import ArgumentParser

@main
struct Casa: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "casa",
    abstract: "Let AI agents work without trusting them: every call is checked against what the user asked for.",
    discussion: """
      casa demo                          watch good calls pass and bad ones be refused
      casa up system.yaml                run everything around the apps of a system
      casa run agent -- python agent.py  start one of its apps, pointed at its sidecar
      casa runtime --data ./data         issue, exchange and introspect tokens
      casa authorize agent.yaml          answer Envoy's questions for a workload
      casa sidecar agent.yaml            run Envoy beside a workload
      casa sidecar intercept             lead all traffic of a pod through its sidecar
      casa intent evaluate suite.json    measure the checks of intent on labelled calls
      casa node run --policy node.yaml   have the kernel deny what no policy permits
      casa controller run --help         bring a Kubernetes cluster to what its custom resources say
      casa injector --help               put sidecars into a cluster's pods
      casa doctor                        say what this machine or a cluster lacks
      casa traces query                  see what was decided, and why

      Exit codes: 0 done, 1 failed, 64 wrong usage.
      """,
    version: "0.1.0",
    subcommands: [
      DemoCommand.self, UpCommand.self, RunCommand.self, RuntimeCommand.self, AuthorizeCommand.self,
      SidecarCommand.self,
      IntentCommand.self, NodeCommand.self, ControllerCommand.self, InjectorCommand.self, TracesCommand.self,
      DoctorCommand.self,
    ])
}
