import CNodeGuard

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A map of the kernel programs, opened by its pin.
struct KernelMap<Key: BitwiseCopyable, Value: BitwiseCopyable>: Sendable {
  private let open: KernelMapDescriptor
  private let name: String
  private var descriptor: Int32 { open.number }

  /// - Throws: `KernelFailure` when it is not there, or is no map of these keys and values.
  init(_ name: String, of pins: PinDirectory, key: Key.Type, value: Value.Type) throws(KernelFailure) {
    self.name = name
    open = try KernelMapDescriptor(pins.map(name))
    var info = bpf_map_info()
    var bytes = UInt32(MemoryLayout<bpf_map_info>.size)
    guard bpf_obj_get_info_by_fd(open.number, &info, &bytes) == 0,
      info.key_size == MemoryLayout<Key>.stride, info.value_size == MemoryLayout<Value>.stride
    else { throw KernelFailure(code: EPROTO, "\(pins.map(name)) is of another version of casa") }
  }

  func set(_ key: Key, _ value: Value) throws(KernelFailure) {
    let code = withUnsafeBytes(of: key) { key in
      withUnsafeBytes(of: value) { bpf_map_update_elem(descriptor, key.baseAddress, $0.baseAddress, UInt64(BPF_ANY)) }
    }
    guard code == 0 else { throw failure(code, "cannot write to") }
  }

  /// Writes the value only when the key has none yet.
  func add(_ key: Key, _ value: Value) throws(KernelFailure) {
    let code = withUnsafeBytes(of: key) { key in
      withUnsafeBytes(of: value) {
        bpf_map_update_elem(descriptor, key.baseAddress, $0.baseAddress, UInt64(BPF_NOEXIST))
      }
    }
    guard code == 0 || code == -EEXIST else { throw failure(code, "cannot write to") }
  }

  func value(_ key: Key) throws(KernelFailure) -> Value? {
    try withUnsafeTemporaryAllocation(of: Value.self, capacity: 1) { (place) throws(KernelFailure) -> Value? in
      let code = withUnsafeBytes(of: key) { bpf_map_lookup_elem(descriptor, $0.baseAddress, place.baseAddress) }
      if code == -ENOENT { return nil }
      guard code == 0 else { throw failure(code, "cannot read") }
      return place[0]
    }
  }

  /// For the maps that keep a value for each processor.
  func values(_ key: Key) throws(KernelFailure) -> [Value] {
    let processors = Int(libbpf_num_possible_cpus())
    guard processors > 0 else { throw failure(Int32(processors), "cannot count the processors for") }
    return try withUnsafeTemporaryAllocation(of: Value.self, capacity: processors) {
      (places) throws(KernelFailure) -> [Value] in
      let code = withUnsafeBytes(of: key) { bpf_map_lookup_elem(descriptor, $0.baseAddress, places.baseAddress) }
      guard code == 0 else { throw failure(code, "cannot read") }
      return Array(places)
    }
  }

  func remove(_ key: Key) throws(KernelFailure) {
    let code = withUnsafeBytes(of: key) { bpf_map_delete_elem(descriptor, $0.baseAddress) }
    guard code == 0 || code == -ENOENT else { throw failure(code, "cannot remove from") }
  }

  /// All keys, as far as nobody adds or removes some meanwhile.
  func keys(atMost limit: Int) throws(KernelFailure) -> [Key] {
    var keys: [Key] = []
    try withUnsafeTemporaryAllocation(of: Key.self, capacity: 1) { (next) throws(KernelFailure) in
      while keys.count < limit {
        let code =
          if let last = keys.last {
            withUnsafeBytes(of: last) { bpf_map_get_next_key(descriptor, $0.baseAddress, next.baseAddress) }
          } else {
            bpf_map_get_next_key(descriptor, nil, next.baseAddress)
          }
        if code == -ENOENT { return }
        guard code == 0 else { throw failure(code, "cannot list") }
        keys.append(next[0])
      }
    }
    return keys
  }

  /// libbpf returns the error, negated.
  private func failure(_ code: Int32, _ problem: String) -> KernelFailure {
    KernelFailure(code: -code, "\(problem) the kernel's map \(name): \(String(cString: strerror(-code)))")
  }
}
