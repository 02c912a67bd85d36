/// One of the two families of tools that speak to the kernel's packet filter.
public enum PacketFilterBackend: String, Sendable, Hashable, CaseIterable { case nft, legacy }
