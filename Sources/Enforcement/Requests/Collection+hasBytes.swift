extension Collection<UInt8> {
  /// Whether these are the bytes of `text`.
  @inlinable
  public func hasBytes(of text: StaticString) -> Bool {
    count == text.utf8CodeUnitCount
      && elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }
}
