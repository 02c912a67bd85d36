import ArgumentParser

struct NodeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "node",
    abstract: "Have the kernel deny what a workload's policy does not permit, and see what it saw.",
    discussion: """
      casa node run --policy node.yaml                                  enforce, until `casa node detach`
      casa node status                                                  what is enforced, and by what
      casa node policy                                                  the policy that is enforced
      casa node explain 10.1.2.3:8443 --workload agent                  whether a connection would pass, and why
      casa node flows --workload agent                                  what was let through and refused
      casa node follow --node NAME --directory DIR                      keep the policy as a cluster says
      casa node detach                                                  end enforcement

      `run` needs the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, a BPF file system at /sys/fs/bpf (or where
      --pins says) that it can write to, cgroup v2, and Linux 5.17 or later, or 5.9 with programs for older kernels. It
      needs no other privilege.
      """,
    subcommands: [
      NodeRunCommand.self, NodeStatusCommand.self, NodePolicyCommand.self, NodeExplainCommand.self,
      NodeFlowsCommand.self, NodeFollowCommand.self, NodeDetachCommand.self,
    ])
}
