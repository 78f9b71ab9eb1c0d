// URLs of configuration. Checked: what is taken has one form: written again from its parts it is read as the same, whole and in its normal form.
import ClawWire

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let text = String(decoding: UnsafeRawBufferPointer(start: data, count: size), as: UTF8.self)
    let url: HTTPURL
    do throws(HTTPURLError) { url = try HTTPURL(text) } catch {
        check(error.message.utf8.count < 400, "a message of \(error.message.utf8.count) bytes")
        check(error.message.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }, "a message that is not printable: \(error.message)")
        return 0
    }
    check(!url.host.isEmpty && url.port > 0, "no host or no port: \(url)")
    check(url.host.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !(0x41...0x5A).contains($0) && $0 != 0x40 && $0 != 0x2F && $0 != 0x25 }, "the host \(url.host)")
    check(url.path.isEmpty || (url.path.hasPrefix("/") && !url.path.hasSuffix("/")), "the path \(url.path)")
    var path = url.path
    path.withUTF8 { bytes in
        var out = [UInt8](repeating: 0, count: bytes.count)
        let form = out.withUnsafeMutableBytes { normalisePath(UnsafeRawBufferPointer(bytes), into: $0) }
        check(form == .normal, "a path that is not normal: \(url.path)")
    }
    let written = "\(url.isTLS ? "https" : "http")://\(url.isIPv6 ? "[\(url.host)]" : url.host):\(url.port)\(url.path)"
    do throws(HTTPURLError) {
        let again = try HTTPURL(written)
        check(again == url, "\(written) is read as \(again), was \(url)")
    } catch {
        fail("\(written) is refused: \(error.message)")
    }
    return 0
}
