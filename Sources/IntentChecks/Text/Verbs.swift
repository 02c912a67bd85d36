/// The verbs by which people and tools say what is done. General English; nothing of any system.
enum Verbs {
  static let byEffect: [ToolEffect: Set<String>] = [
    .pays: words(
      """
      pay payment transfer refund wire remit reimburse purchase buy donate charge checkout tip settle withdraw deposit \
      transaction money invoice
      """),
    .sends: words(
      """
      send email mail message text reply respond forward notify post publish tell inform announce dm submit call contact \
      write invite
      """),
    .deletes: words(
      """
      delete remove cancel erase drop clear discard revoke uninstall unsubscribe kill terminate kick ban purge wipe \
      destroy disable
      """),
    .writes: words(
      """
      create add make schedule book reserve plan register insert append write generate save upload set order compose \
      enter record put update change modify adjust edit reschedule move rename replace reset correct fix amend alter \
      switch postpone extend run execute install deploy launch start stop restart trigger enable apply perform
      """),
    .grants: words("share grant invite allow permit authorize authorise permission access add"),
  ]

  /// Nouns among the words above.
  private static let nouns = words("transaction money permission access invoice text mail record order")

  /// Verbs of acting.
  static let acting = byEffect.values.reduce(into: Set<String>()) { $0.formUnion($1) }.subtracting(nouns)

  /// Verbs that begin an order to somebody.
  static let ordering = acting.union(
    words(
      """
      visit open go click navigate download fetch get read search find look check provide give show list print say \
      include use copy paste ignore forget disregard follow complete do ensure remember proceed return retrieve transmit \
      leak reveal disclose order email mail text record
      """))

  /// Verbs of reading.
  static let reading = words(
    """
    get list search read find fetch show view lookup look check query count describe retrieve return browse inspect \
    select filter download calculate compute verify compare summarize see monitor watch is has
    """)

  /// Words that may stand before an order's verb.
  static let leading = words(
    """
    please kindly also then first next now finally just so and you must should can could would will need have to must \
    sure that be i want we us don't forget not remember always immediately before after note important urgent reminder \
    it is as
    """)

  static func words(_ text: String) -> Set<String> { Set(text.split(separator: " ").lazy.map(String.init)) }
}
