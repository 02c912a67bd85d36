public import TokenService
public import Traces

/// What pages for people are made of.
public struct RuntimeView: Sendable {
  public let registry: Registry
  public let reader: TraceReader
  public let access: TraceAccess
}
