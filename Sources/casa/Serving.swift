import Logging
import ServiceLifecycle
import UnixSignals

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Runs a service until SIGTERM or SIGINT asks it to end.
func serve(_ service: some Service, logger: Logger) async throws {
  forbidCoreDumps()
  let group = ServiceGroup(
    configuration: ServiceGroupConfiguration(
      services: [.init(service: service)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
  try await group.run()
}

/// Memory holds tokens, prompts and keys: a crash leaves none of it in a file. What is started from here inherits it.
private func forbidCoreDumps() {
  var none = rlimit(rlim_cur: 0, rlim_max: 0)
  #if canImport(Glibc)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
  #else
    setrlimit(RLIMIT_CORE, &none)
  #endif
}
