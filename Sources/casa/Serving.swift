import Logging
import Prometheus
import ServiceLifecycle
import UnixSignals

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Runs a service until SIGTERM or SIGINT asks it to end.
/// - Parameter metrics: what serves its metrics; nil when nothing does.
func serve(_ service: some Service, metrics: MetricsServer? = nil, logger: Logger) async throws {
  // Ended in reverse order: the metrics first.
  try await serve([service] + (metrics.map { [$0] } ?? []), logger: logger)
}

/// Runs services until SIGTERM or SIGINT asks them to end, or one of them fails.
func serve(_ services: [any Service], logger: Logger) async throws {
  keepMemoryPrivate()
  let group = ServiceGroup(
    configuration: ServiceGroupConfiguration(
      services: services.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
  try await group.run()
}

/// Memory holds tokens, prompts and keys: a crash leaves none of it in a file, neither in a core dump nor in Swift's
/// report, which shows memory at the registers. Who looks for a crash's cause sets `SWIFT_BACKTRACE`. What is started
/// from here inherits it.
private func keepMemoryPrivate() {
  var none = rlimit(rlim_cur: 0, rlim_max: 0)
  #if canImport(Glibc)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
  #else
    setrlimit(RLIMIT_CORE, &none)
  #endif
  guard getenv("SWIFT_BACKTRACE") == nil else { return }
  for number in [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV] { signal(number, SIG_DFL) }
}
