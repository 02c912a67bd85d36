public import NIOCore

/// Runs tasks on one event loop, so that work about a connection stays on the thread that reads and writes it. A hop
/// to another thread and back costs more than most of what a request needs.
///
/// Only for work that never blocks: it holds up every connection of the loop.
public final class EventLoopTaskExecutor: TaskExecutor {
  private let eventLoop: any EventLoop

  public init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    eventLoop.execute { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
  }
}
