import CNodeGuard

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An open map, whatever it holds.
final class KernelMapDescriptor: Sendable {
  let number: Int32

  init(_ path: String) throws(KernelFailure) {
    number = bpf_obj_get(path)
    guard number >= 0 else {
      throw KernelFailure(code: errno, "cannot open \(path): \(String(cString: strerror(errno)))")
    }
  }

  deinit { close(number) }
}
