// placeholder, being written
public final class AdminServer: @unchecked Sendable {
    public private(set) var port: UInt16 = 0
    public init(gateway: Gateway, reload: @escaping @Sendable () -> String?) {}
    public func start() throws(Gateway.StartFailure) {}
    public func stop() {}
}
public struct AdminClient {
    public init(address: String, token: String?) {}
    public func ask(_ method: String, _ path: String) throws -> (status: Int, body: String) { (0, "") }
}
