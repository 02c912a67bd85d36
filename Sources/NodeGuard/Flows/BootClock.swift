public import CASACore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Turns the kernel's time since boot into the time of day, and tells one boot from another.
public struct BootClock: Sendable, Hashable {
  /// The first 8 hexadecimal digits of the boot's id.
  public let boot: String
  /// When the machine was started, as the wall clock has it now.
  public let started: Timestamp

  /// - Parameter bootID: the text of `/proc/sys/kernel/random/boot_id`. What is no hexadecimal digit of it is left out.
  public init(bootID: String, started: Timestamp) {
    boot = String(
      decoding: bootID.utf8.filter { byte in
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
      }.prefix(8), as: UTF8.self)
    self.started = started
  }

  /// - Parameter nanoseconds: since boot, suspended time among them (`bpf_ktime_get_boot_ns`).
  public func timestamp(_ nanoseconds: UInt64) -> Timestamp {
    Timestamp(milliseconds: started.milliseconds &+ Int64(nanoseconds / 1_000_000))
  }

  #if os(Linux)
    /// This machine's, by its clocks as they are now.
    /// - Throws: when the boot's id can't be read.
    public static func current() throws -> BootClock {
      let bootID = try BoundedFile.read("/proc/sys/kernel/random/boot_id", maximumBytes: 4096)
      var sinceBoot = timespec()
      clock_gettime(CLOCK_BOOTTIME, &sinceBoot)
      let now = WallClock.system.now().milliseconds
      return BootClock(
        bootID: String(decoding: bootID, as: UTF8.self),
        started: Timestamp(
          milliseconds: now - Int64(sinceBoot.tv_sec) * 1000 - Int64(sinceBoot.tv_nsec) / 1_000_000))
    }
  #endif
}
