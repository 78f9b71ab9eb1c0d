"""How a refusal has to look, for the tests that hold tables of bad requests against the gateway."""
from wire import Broken, Client, Late, until

PATIENCE = 5.0


def refusal(gateway, data, statuses=(400,), then=b""):
    """Sends the bytes; the answer. It must be one of the statuses in OpenAI's error shape, say `Connection: close`, and end with FIN."""
    with Client(gateway.port, deadline=PATIENCE) as client:
        try:
            client.send(data + then)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = client.response()
        answer.error()
        assert answer.status in statuses, f"expected one of {statuses}: {answer}"
        assert answer.closes, f"no Connection: close: {answer}"
        assert client.ending() == "fin" and not client.rest, f"at the end: {client.end} {client.rest!r}"
        return answer


def refuses(gateway, recorder, cases, statuses=(400,)):
    """Every case (bytes, or bytes with statuses of their own) is refused, nothing of any reaches the upstream, and each has one line in the log."""
    recorder.reset()
    wrong, ids = [], []
    for case in cases:
        data, wanted = case if isinstance(case, tuple) else (case, statuses)
        try:
            ids.append(refusal(gateway, data, wanted).get("x-request-id"))
        except (Broken, Late, AssertionError, ValueError) as error:
            wrong.append(f"{data[:300]!r}: {type(error).__name__}: {error}")
            if len(wrong) == 20:
                break
    assert not wrong, f"{len(wrong)} cases:\n" + "\n".join(wrong)
    assert recorder.bytes() == b"", f"reached the upstream: {recorder.bytes()[:500]!r}"
    assert None not in ids and len(set(ids)) == len(ids)

    def lines():
        found = [line["request_id"] for line in gateway.log()]
        return all(found.count(one) == 1 for one in ids)
    until(lines, "one log line per refusal")
