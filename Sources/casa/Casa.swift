@main struct Casa { static func main() {} }
