// Recorded answers of the mock: which one a request gets, and sending it. A recorded stream goes the way of any other (MockWorker+Stream), one event a step, so that
// pace and faults work on it too; `piece-bytes` cuts it, and plain answers as well, anywhere else.

extension MockWorker {
    /// The body is there: settles which recording, if any, is the answer. A status that the script asks for comes before any.
    func chooseRecording(_ connection: UnsafeMutablePointer<MockConnection>) {
        if connection.pointee.script.status != 0 {
            connection.pointee.recording = MockRecordings.none
        } else if connection.pointee.recording == MockRecordings.none, connection.pointee.recordingGroup >= 0 {
            let form = MockRecordings.form(
                connection.pointee.endpoint, asksForEvents: connection.pointee.asksForEvents, asksForStream: connection.pointee.glance.isStream)
            connection.pointee.recording = server.recordings.groups[Int(connection.pointee.recordingGroup)].first[form.rawValue]
        }
    }

    func isRecordedStream(_ connection: UnsafeMutablePointer<MockConnection>) -> Bool {
        guard connection.pointee.recording >= 0 else { return false }
        let entry = server.recordings.entries[Int(connection.pointee.recording)]
        return (entry.isStreamed || connection.pointee.script.pieceBytes > 0) && !Self.hasNoBody(entry.status)
    }

    private static func hasNoBody(_ status: Int) -> Bool { status == 204 || status == 304 }

    func answerRecorded(_ connection: UnsafeMutablePointer<MockConnection>) {
        body.count = 0
        guard connection.pointee.recording >= 0 else {
            connection.pointee.recording = MockRecordings.none
            body.append("{\"error\":\"the mock has no recording of this id; GET /mock/recordings lists them\"}")
            sendBody(connection, status: 404, type: "application/json")
            return
        }
        let entry = server.recordings.entries[Int(connection.pointee.recording)]
        if Self.hasNoBody(entry.status) {
            writeHead(connection, status: entry.status, type: "")
            out.append("\r\n")
            flush(connection, .finished)
            return
        }
        entry.body.withUnsafeBytes { body.append($0) }
        sendBody(connection, status: entry.status, type: "")
    }

    /// The status line's headers, as they were recorded.
    func writeRecordedFields(_ connection: UnsafeMutablePointer<MockConnection>, withType: Bool) {
        let entry = server.recordings.entries[Int(connection.pointee.recording)]
        if withType { entry.typeField.withUnsafeBytes { out.append($0) } }
        entry.fields.withUnsafeBytes { out.append($0) }
    }

    /// The next piece of a recorded answer; false when it is whole.
    func renderRecordedPiece(_ connection: UnsafeMutablePointer<MockConnection>) -> Bool {
        let left = Int(connection.pointee.stream.bytesLeft)
        guard left > 0 else { return false }
        let wanted = connection.pointee.script.pieceBytes
        let chunk = connection.pointee.isChunkedAnswer ? out.openChunk() : out.count
        let length = server.recordings.entries[Int(connection.pointee.recording)].body.withUnsafeBytes { whole in
            let start = whole.count - left
            let length = wanted > 0 ? min(left, wanted) : server.recordings.entries[Int(connection.pointee.recording)].pieceLength(from: start)
            out.append(UnsafeRawBufferPointer(rebasing: whole[start ..< start + length]))
            return length
        }
        connection.pointee.stream.bytesLeft -= UInt64(length)
        connection.pointee.stream.step += 1
        endPiece(connection, chunk)
        return true
    }
}
