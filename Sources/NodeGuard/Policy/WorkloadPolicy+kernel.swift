public import CNodeGuard
import Crypto

extension WorkloadPolicy {
  /// The value in the kernel's map `policies`. The same policy gives the same bytes, its generation among them.
  public var compiled: casa_policy {
    var policy = casa_policy()
    policy.flags =
      (llm?.usesTLS == true ? UInt32(CASA_LLM_TLS) : 0) | (bindsAnyPort ? UInt32(CASA_BIND_ANY) : 0)
      | (isObserved ? UInt32(CASA_OBSERVE_ONLY) : 0)
    if let llm {
      policy.llm = llm.kernelNumber
      policy.llm_port = llm.port
    }
    if let proxy {
      policy.proxy = proxy.address.kernelValue
      policy.proxy_port = proxy.port
    }
    var count = 0
    withUnsafeMutableBytes(of: &policy.rules) { bytes in
      let places = bytes.bindMemory(to: casa_rule.self)
      for rule in rules {
        for prefix in rule.prefixes {
          for ports in rule.ports where count < places.count {
            places[count] = casa_rule(
              address: prefix.address.kernelValue, mask: prefix.kernelMask, first_port: ports.first,
              last_port: ports.last, direction: rule.direction.rawValue, protocol: rule.transport.rawValue,
              number: rule.number)
            count += 1
          }
        }
      }
    }
    policy.rule_count = UInt16(count)
    withUnsafeMutableBytes(of: &policy.rules_of_port) { classes in
      let classes = classes.bindMemory(to: UInt64.self)
      withUnsafeBytes(of: policy.rules) { rules in
        for (index, rule) in rules.bindMemory(to: casa_rule.self).prefix(count).enumerated() {
          // A range of as many ports as there are classes has one of each.
          for port in (rule.first_port...rule.last_port).prefix(classes.count) {
            classes[Int(port) % classes.count] |= 1 << UInt64(index)
          }
        }
      }
    }
    // 0 is what a value has that no policy made.
    policy.generation = max(1, withUnsafeBytes(of: policy) { leadingDigits(SHA256.hash(data: $0)) })
    return policy
  }

  /// What map `names` holds for this workload: each key with its `casa_name_use`.
  public var compiledNames: [(key: casa_name_key, use: UInt32)] {
    var names = resolvable.filter { pattern in llm.map { pattern != .exact($0.host) } ?? true }
      .map { (key: key($0), use: CASA_NAME_RESOLVED.rawValue) }
    if let llm { names.append((key(.exact(llm.host)), CASA_NAME_LLM.rawValue)) }
    return names
  }

  /// The value in map `llm_names`; nil for a workload without an LLM.
  public var compiledLLMName: casa_llm_name? {
    guard let llm else { return nil }
    var name = casa_llm_name()
    withUnsafeMutableBytes(of: &name.text) { $0.copyBytes(from: llm.host.text.utf8) }
    name.length = UInt32(llm.host.text.utf8.count)
    return name
  }

  private func key(_ pattern: NamePattern) -> casa_name_key {
    var key = casa_name_key()
    // An exact name ends with a zero, which stays there from the beginning.
    let (name, end) =
      switch pattern {
      case .exact(let name): (name.wireForm, 1)
      case .below(let name): (name.wireForm, 0)
      }
    withUnsafeMutableBytes(of: &key.workload) { bytes in
      withUnsafeBytes(of: id.rawValue.bigEndian) { bytes.copyMemory(from: $0) }
    }
    // `HostName.maximumWireLength` sees to it that there is room.
    withUnsafeMutableBytes(of: &key.backwards) { $0.copyBytes(from: name.reversed()) }
    key.bits = UInt32(8 * (8 + name.count + end))
    return key
  }
}

extension WorkloadPolicy.LLM {
  /// Names the host and port; never 0, which is none.
  var kernelNumber: UInt64 { max(1, leadingDigits(SHA256.hash(data: Array(description.utf8)))) }
}
