/// The configuration texts the scenarios run on.
enum Plans {
    /// One model upstream. `server` and `upstream` add lines to those sections.
    static func one(server: String = "timeout_seconds: 60", upstream: String = "timeout_seconds: 60") -> String {
        """
        server:
          \(server.split(separator: "\n").joined(separator: "\n  "))
        upstreams:
          one:
            type: generic
            api_key: sk-played-secret-1
            base_url: http://10.0.0.1:8001/v1
            \(upstream.split(separator: "\n").joined(separator: "\n    "))
        """
    }

    /// Two model upstreams, the second for what the first cannot do.
    static func two(server: String = "timeout_seconds: 60", upstream: String = "timeout_seconds: 60") -> String {
        one(server: server, upstream: upstream) + """

          two:
            type: generic
            api_key: sk-played-secret-2
            base_url: http://10.0.0.2:8002/v1
            \(upstream.split(separator: "\n").joined(separator: "\n    "))
        """
    }
}
