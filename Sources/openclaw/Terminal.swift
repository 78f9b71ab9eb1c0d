// The terminal: the little the commands need of it.
#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

/// Makes what was printed visible to a pipe's reader.
func flushOutput() { fflush(nil) }

/// Is standard error a terminal (live progress is for people only)?
func errorIsTerminal() -> Bool { isatty(2) == 1 }

/// Writes to standard error as it is.
func writeError(_ text: String) {
    var text = text
    text.withUTF8 { bytes in _ = write(2, bytes.baseAddress, bytes.count) }
}
