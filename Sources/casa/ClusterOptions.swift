public import ArgumentParser
public import ClusterObjects

/// What all objects that are written into a cluster have in common.
struct ClusterOptions: ParsableArguments {
  @Option(help: "Whose Envoys stand beside the workloads: cilium (our own) or istio.")
  var mode = ClusterSettings.Mode.cilium

  @Option(help: ArgumentHelp("Where CASA's own parts run.", valueName: "name"))
  var systemNamespace = "casa-system"

  @Option(help: ArgumentHelp("The image of CASA's parts.", valueName: "reference"))
  var image = "casa:latest"

  @Option(help: ArgumentHelp("What Services' names end in.", valueName: "domain"))
  var clusterDomain = "cluster.local"

  var settings: ClusterSettings {
    ClusterSettings(mode: mode, systemNamespace: systemNamespace, image: image, clusterDomain: clusterDomain)
  }
}

extension ClusterSettings.Mode: ExpressibleByArgument {}
