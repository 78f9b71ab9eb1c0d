"""Every API that clients speak in front of every upstream type: the cases, how a cell is judged, and the table that docs/dialects.md publishes.

    OPENCLAW=.build/debug/openclaw python Tests/Integration/dialect_matrix.py --write docs/dialects.md

The upstreams are one `openclaw mock`, which speaks each provider's own API, so a cell is judged at both ends: what the client reads, in its own dialect, has to be
what the model said; and what reached the model, in the provider's dialect, what the client asked. `Refused` is the other good end: a 400 that names the field."""
import argparse
import base64
import http.client
import json
import pathlib
import re
from dataclasses import dataclass

from dialect_backs import BACKS
from dialect_fields import FIELDS, PLAIN, arrives
from dialect_fronts import FRONTS, PARAMETERS, PICTURE, PROMPT, RESULT, SCHEMA, SYSTEM, TOOLS, Ask, Mismatch, need

TOKENS, THOUGHTS, CALL_TOKENS, LIMIT = 12, 6, 4, 5
ARGUMENTS = {"city": "Seoul", "n": 9007199254740993}
OPENAI_LIKE = {"openai", "azure", "mistral", "generic"}
ERRORS = [400, 401, 404, 429, 500, 503]


@dataclass
class Case:
    name: str
    ask: Ask
    calls: int = 0
    thinks: bool = False
    text: bool = True
    status: int = 0
    #: How the stream breaks off: a setting of the mock's.
    fault: tuple = ()

    def needs(self):
        return {name for name in ("tools", "schema", "image", "reasoning") if getattr(self.ask, name)}

    @property
    def settings(self):
        found = {"tokens": TOKENS, "seed": 7}
        if self.calls:
            found |= {"tool-calls": self.calls, "tool-text": str(self.text).lower()}
        if self.thinks:
            found["thinking"] = THOUGHTS
        if self.status:
            found["status"] = self.status
        if self.fault:
            found |= [self.fault]
        return {"x-mock-" + name: str(value) for name, value in found.items()}


CASES = [
    Case("plain", Ask()),
    Case("stream", Ask(stream=True, variant=True)),
    Case("cut off", Ask(limit=LIMIT)),
    Case("cut off, stream", Ask(stream=True, limit=LIMIT)),
    Case("one tool", Ask(tools=True), calls=1, text=False),
    Case("one tool, stream", Ask(tools=True, stream=True), calls=1, text=False),
    Case("parallel tools", Ask(tools=True), calls=3),
    Case("parallel tools, stream", Ask(tools=True, stream=True, variant=True), calls=3),
    Case("structured output", Ask(schema=True)),
    Case("structured output, stream", Ask(schema=True, stream=True)),
    Case("image", Ask(image=True)),
    Case("reasoning", Ask(reasoning=True), thinks=True),
    Case("reasoning, stream", Ask(reasoning=True, stream=True, variant=True), thinks=True),
    Case("reasoning and tools", Ask(reasoning=True, tools=True), calls=2, thinks=True),
    Case("reasoning and tools, stream", Ask(reasoning=True, tools=True, stream=True), calls=2, thinks=True),
    *(Case(f"error {status}", Ask(), status=status) for status in ERRORS),
    Case("error 429, stream", Ask(stream=True), status=429),
    Case("error within a stream", Ask(stream=True), fault=("error-after", 8)),
    Case("stream that is cut", Ask(stream=True), fault=("reset", "events:8")),
]
#: Cases whose answer goes back with the results of its calls.
SECOND_TURNS = {"one tool", "parallel tools", "parallel tools, stream", "reasoning and tools", "reasoning and tools, stream"}
#: Columns of the published table: title, cases.
COLUMNS = [
    ("plain", ["plain", "cut off"]),
    ("stream", ["stream", "cut off, stream"]),
    ("one tool", ["one tool", "one tool, stream"]),
    ("parallel tools", ["parallel tools", "parallel tools, stream"]),
    ("second turn", [name + ", answered" for name in sorted(SECOND_TURNS)]),
    ("structured output", ["structured output", "structured output, stream"]),
    ("image in", ["image"]),
    ("reasoning", ["reasoning", "reasoning, stream", "reasoning and tools", "reasoning and tools, stream"]),
    ("errors", [case.name for case in CASES if case.status or case.fault]),
]


def configuration(url, backend="auto"):
    return {
        "server": {"listen_port": 0, "workers": 1, "io_backend": backend, "admin": {"listen_port": 0}},
        "upstreams": {
            **{back.name: back.upstream(url) for back in BACKS},
            # The same again for the fields: what is refused is left out there.
            **{"lenient_" + back.name: back.upstream(url, "lenient-") | {"drop_unsupported": True} for back in BACKS},
        },
    }


class Peer:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, method, path, body=None, headers=(), fresh=False):
        """`fresh`: over a connection of its own, which may end with the answer."""
        data = json.dumps(body).encode() if body is not None else None
        if fresh:
            self.connection.close()
        self.connection.request(method, path, data, {"content-type": "application/json", **dict(headers)})
        answer = self.connection.getresponse()
        try:
            return self.taken(answer)
        finally:
            if fresh:
                self.connection.close()

    def taken(self, answer):
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@dataclass
class Cell:
    """`verdict`: passes, refused, absent (the client's API has no word for it), fails. `detail`: the field and the reason, or what went wrong."""
    verdict: str
    detail: str = ""
    dropped: str = ""


class Matrix:
    def __init__(self, gateway_port, mock_port):
        self.gateway, self.mock = Peer(gateway_port), Peer(mock_port)
        _, _, body = self.mock.ask("POST", "/v1/chat/completions", {"model": "m", "messages": []}, Case("", Ask(), thinks=True).settings)
        self.words = json.loads(body)["choices"][0]["message"]
        _, _, body = self.mock.ask("POST", "/v1/messages", {"model": "m", "max_tokens": 99, "messages": []}, Case("", Ask(), thinks=True).settings)
        self.signature = json.loads(body)["content"][0]["signature"]

    def run(self, fronts=FRONTS, backs=BACKS, cases=CASES):
        """(front, back, case) → Cell"""
        return {key: cell for front in fronts for back in backs for case in cases for key, cell in self.cells(front, back, case)}

    def cells(self, front, back, case):
        key = front.name, back.name, case.name
        if case.needs() & front.cannot:
            yield key, Cell("absent")
            if case.name in SECOND_TURNS:
                yield (*key[:2], case.name + ", answered"), Cell("absent")
            return
        said = []
        yield key, self.judged(front, back, case, case.ask, said)
        if case.name in SECOND_TURNS and said:
            ask = Ask(tools=True, reasoning=case.ask.reasoning, stream=case.ask.stream, history=said[0])
            yield (*key[:2], case.name + ", answered"), self.judged(front, back, Case(case.name + ", answered", ask, thinks=case.thinks), ask, [])

    def last(self):
        _, _, body = self.mock.ask("GET", "/mock/last?n=1")
        found = json.loads(body)["requests"]
        if not found:
            return None
        text = base64.b64decode(found[-1]["body_base64"]).decode()
        need(len(text.encode()) == found[-1]["body_length"], "the mock keeps no body of", str(found[-1]["body_length"]), "bytes")
        return {"path": found[-1]["request_line"].split(" ")[1], "headers": found[-1]["headers"], "body": text}

    def judged(self, front, back, case, ask, said):
        path, body = front.request(back.alias, ask)
        self.mock.ask("POST", "/mock/reset")
        settings = case.settings | ({"x-mock-usage": "unasked"} if back.name == "mistral" else {})
        status, headers, answer = self.gateway.ask("POST", path, body, settings, fresh=bool(case.fault))
        arrived = self.last()
        try:
            if arrived is None:
                message, word = front.error(answer)
                need(status == 400 and headers["content-type"].startswith("application/json"), "refused with", str(status), answer.decode())
                return Cell("refused", quoted(refusal(message)))
            dropped = headers.get("x-openclaw-dropped", "")
            sent = self.check_request(back, case, ask, arrived, front)
            if case.fault:
                self.check_broken(front, back, case, status, answer, arrived)
            elif case.status:
                self.check_error(front, back, case, status, headers, answer, arrived)
            else:
                need(status == 200, "status", str(status), answer.decode("utf-8", "replace")[:800])
                result = front.stream(answer, ask) if ask.stream else front.answer(answer)
                self.check_answer(front, back, case, ask, result, headers, arrived)
                said.append(result)
            return Cell("passes", dropped=dropped)
        except Exception as problem:  # noqa: BLE001: whatever went wrong in a cell is that cell's verdict
            where = problem if isinstance(problem, Mismatch) else f"{type(problem).__name__}: {problem}"
            return Cell("fails", f"{where}\n    sent     {json.dumps(body)[:700]}\n    arrived  {arrived and arrived['path'] + ' ' + arrived['body'][:1500]}\n    answered {status} {answer.decode('utf-8', 'replace')[:2500]}")

    def fields(self, fronts=FRONTS, backs=BACKS):
        """(front, title of a field, back) → Cell"""
        return {(front.name, title, back.name): self.field(front, back, more, marks) for front in fronts for title, more, marks in FIELDS[front.name] for back in backs}

    def field(self, front, back, more, marks):
        status, headers, answer, arrived = self.asked(front, back.alias, more)
        dropped = headers.get("x-openclaw-dropped", "")
        try:
            if arrived is not None:
                given = json.dumps(json.loads(arrived["body"]), separators=(",", ":"))
                need(status == 200, "status", str(status), answer.decode())
                need(arrives(given, marks) != bool(dropped), "it is lost, or left out and there:", dropped, given)
                return Cell("passes", dropped=dropped)
            reason = refusal(front.error(answer)[0])
            need(status == 400, "refused with", str(status), answer.decode())
            status, headers, other, arrived = self.asked(front, "lenient-" + back.alias, more)
            dropped = headers.get("x-openclaw-dropped", "")
            # A message that cannot be left out stays refused.
            need(reason.split(": ")[0] in dropped.split(",") and status == 200 if arrived else status == 400, "drop_unsupported:", reason, dropped, str(status), other.decode())
            return Cell("refused", quoted(reason) + ("" if arrived else "; `drop_unsupported` does not leave it out"))
        except Exception as problem:  # noqa: BLE001: as in `judged`
            return Cell("fails", f"{type(problem).__name__} {problem} {answer.decode()[:600]}")

    def asked(self, front, model, more):
        self.mock.ask("POST", "/mock/reset")
        body = {**PLAIN[front.name], **more} if front.name == "gemini" else {"model": model, **PLAIN[front.name], **more}
        status, headers, answer = self.gateway.ask("POST", front.path.replace("{model}", model), body)
        return status, headers, answer, self.last()

    # What reached the model.

    def check_request(self, back, case, ask, arrived, front):
        body = json.loads(arrived["body"])
        fields = {name.lower(): value for name, value in arrived["headers"]}
        name, value = back.key
        need(fields.get(name, "").startswith(value), name, "is", fields.get(name))
        sent = back.read(arrived["path"], body)
        need(sent.stream == ask.stream, "stream:", body)
        need(sent.system == ("" if "system" in front.cannot else SYSTEM), "system:", sent.system)
        need(sent.turns[0][0] == "user" and [item[1] for item in sent.turns[0][1] if item[0] == "text"] == [PROMPT], "the user's turn:", sent.turns)
        need(sent.items("image") == ([("image", "image/png", PICTURE)] if ask.image else []), "image:", sent.items("image"))
        if ask.limit:
            need(sent.limit == ask.limit, "limit:", sent.limit)
        if ask.tools:
            need([(name, words, plain(schema)) for name, words, schema in sent.tools] == [(name, words, plain(PARAMETERS)) for name, words in TOOLS], "tools:", sent.tools)
        else:
            need(not sent.tools, "tools:", sent.tools)
        if ask.schema:
            need(plain(sent.schema or {}) == plain(SCHEMA), "schema:", sent.schema)
        else:
            need(sent.schema is None, "schema:", sent.schema)
        if ask.reasoning:
            # Ollama's `think: true` says nothing of how much, for which OpenAI's chat has words only. And where thinking is on, Anthropic's API wants the thought
            # before a call back with its signature, which Ollama's has no place for: that turn goes on without.
            leaves = OPENAI_LIKE if front.name.startswith("ollama") else set()
            need(sent.reasoning or back.name in leaves or (front.name == "ollama" and ask.history and back.name in ("anthropic", "bedrock")), "nothing of thinking arrived:", body)
        if ask.history:
            self.check_history(back, ask.history, sent, front)
        return sent

    def check_history(self, back, history, sent, front):
        need([role for role, _ in sent.turns] == ["user", "assistant", "user"], "turns:", sent.turns)
        kinds = [item[0] for item in sent.turns[1][1] if item[0] != "thinking"]
        if back.name in front.own:
            # As the client sent it, pieces and all.
            kinds = [kind for at, kind in enumerate(kinds) if kind != "text" or kinds[at - 1:at] != ["text"]]
        need(kinds == (["text"] if history.text else []) + ["call"] * len(history.calls), "the assistant's turn:", sent.turns[1])
        need("".join(item[1] for item in sent.items("text")[1:]) == history.text, "the assistant's text:", sent.items("text"))
        calls, results = sent.items("call"), sent.items("result")
        need([(name, arguments) for _, _, name, arguments in calls] == [(name, arguments) for _, name, arguments in history.calls], "calls:", calls)
        need([(name, text) for _, _, name, text in results] == [(name, RESULT) for _, name, _ in history.calls], "results:", results)
        ids = [id for _, id, _, _ in calls]
        need(ids == [id for _, id, _, _ in results] and (len(set(ids)) == len(ids) or not any(ids)), "ids:", ids, [id for _, id, _, _ in results])
        if back.name == "mistral":
            need(all(re.fullmatch(r"[a-zA-Z0-9]{9}", id) for id in ids), "ids for Mistral:", ids)
        elif back.name in ("anthropic", "bedrock"):
            need(all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", id) for id in ids), "ids:", ids)
        if history.thinking and "signature" in back.carries:
            thoughts = sent.items("thinking")
            if front.name == "ollama":
                # Its API has no place for a signature; a thought without one would be refused by who made it.
                need(not any(signature for _, _, signature in thoughts), "thoughts:", thoughts)
            else:
                need([signature for _, _, signature in thoughts if signature] == [self.signature], "signatures:", thoughts)
                texts = "".join(text for _, text, _ in thoughts)
                need(texts == history.thinking or back.name == "gemini", "thoughts:", thoughts)

    # What reached the client.

    def check_answer(self, front, back, case, ask, said, headers, arrived):
        expected = "application/json"
        if ask.stream:
            expected = "application/x-ndjson" if front.name.startswith("ollama") else "application/json" if front.name == "gemini" and ask.variant else "text/event-stream"
        need(headers["content-type"].startswith(expected), "content-type:", headers["content-type"])
        whole = self.words["content"]
        text = whole if case.text else ""
        thoughts = self.words["reasoning_content"] if case.thinks else ""
        if back.name == "cohere" and case.calls:
            # What Cohere's models say before calls is a plan, which is thinking to everybody else.
            thoughts, text = thoughts + text, ""
        if ask.limit:
            need(said.text and whole.startswith(said.text) and len(said.text) < len(whole), "text:", said.text)
        elif ask.schema:
            need(json.loads(said.text) == {"answer": whole}, "structured text:", said.text)
        else:
            need(said.text == text, "text:", said.text)
        need(said.thinking == thoughts, "thinking:", said.thinking)
        need([(name, arguments) for _, name, arguments in said.calls] == [(TOOLS[0][0], ARGUMENTS)] * case.calls, "calls:", said.calls)
        ids = [id for id, _, _ in said.calls]
        need(len(set(ids)) == len(ids) and (all(ids) or front.name in ("gemini", "ollama")) or not any(ids), "ids of calls:", ids)
        finish = front.finishes["calls" if case.calls else "length" if ask.limit else "stop"]
        need(said.finish == finish, "finish reason:", said.finish, "expected", finish)
        if said.input is None:
            need(front.name in ("chat", "completions") and ask.stream and not ask.variant, "no usage")
            return
        read = arrived["body"].count(" ") + 1
        written = (LIMIT if ask.limit else TOKENS if case.text else 0) + (THOUGHTS if case.thinks else 0) + CALL_TOKENS * case.calls
        need((said.input, said.output) == (read, written), "usage:", (said.input, said.output), "expected", (read, written))
        if said.reasoning is not None and back.name in ("openai", "openai_responses", "azure", "gemini", "generic"):
            need(said.reasoning == (THOUGHTS if case.thinks else 0), "reasoning tokens:", said.reasoning)

    def check_broken(self, front, back, case, status, answer, arrived):
        """What came before the fault is there, the error is the last event, in the client's form, and nothing looks like a good end."""
        text, message, word = front.broken(answer)
        need(status == 200 and text and self.words["content"].startswith(text), "status and text:", str(status), text)
        if case.fault[0] == "reset" or back.name == "gemini":
            # Gemini's API has no error within a stream: it breaks off.
            need("upstream" in message and (word in ("upstream_truncated", "upstream_reset") or not front.has_codes), "error:", message, word)
        else:
            need(message and word, "error:", message, word)
            _, _, native = self.mock.ask("POST", arrived["path"], json.loads(arrived["body"]), case.settings, fresh=True)
            need(message.encode() in native, "message:", message, native.decode("utf-8", "replace")[-400:])

    def check_error(self, front, back, case, status, headers, answer, arrived):
        need(headers["content-type"].startswith(("application/json", "text/plain")), "content-type:", headers["content-type"])
        # An error in the client's own dialect passes as it came, with its status: OpenAI's APIs share one form.
        passes = back.name in front.own
        need(status == (case.status if passes else front.statuses[case.status]), "status", str(status))
        _, _, native = self.mock.ask("POST", arrived["path"], json.loads(arrived["body"]), case.settings)
        if headers["content-type"].startswith("text/plain"):
            need(passes and answer == native, "text:", answer.decode())
            return
        message, word = front.error(answer)
        need(message_of(native) in message, "message:", message, "expected", message_of(native))
        need(passes or word == front.words[case.status], "word:", word)


def refusal(message):
    """The field and the reason of a 400 of the gateway's."""
    found = re.fullmatch(r"the request cannot be translated for this upstream \(upstreams\.\*\.drop_unsupported leaves such fields out\): ([\w.\[\]]+: .+)", message)
    need(found, "a refusal that names no field:", message)
    return found[1]


def quoted(reason):
    field, words = reason.split(": ", 1)
    return f"`{field}`: {words}"


def message_of(body):
    """What a provider says, in whichever dialect."""
    text = body.decode()
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip()
    value = value[0] if isinstance(value, list) else value
    error = value.get("error", value)
    return error if isinstance(error, str) else error["message"]


def plain(schema):
    """A schema without what dialects spell differently."""
    if isinstance(schema, dict):
        return {key: value.lower() if key == "type" and isinstance(value, str) else plain(value) for key, value in schema.items()
                if key not in ("additionalProperties", "propertyOrdering", "$schema")}
    return schema


# MARK: the table


def table(cells, fields):
    """The published tables, one for each client's API, with the reasons below."""
    lines, notes = [], {}

    def note(text):
        return notes.setdefault(text, len(notes) + 1)

    for front in FRONTS:
        lines += [f"### {front.title}", "", "| upstream | " + " | ".join(title for title, _ in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        for back in BACKS:
            row = []
            for _, names in COLUMNS:
                found = [cells[key] for name in names if (key := (front.name, back.name, name)) in cells]
                verdicts = {cell.verdict for cell in found}
                refused = sorted({cell.detail for cell in found if cell.verdict == "refused"})
                dropped = sorted({name for cell in found for name in cell.dropped.split(",") if name})
                marks = "".join(f"<sup>{note(text)}</sup>" for text in refused + ["leaves out `" + name + "`" for name in dropped])
                word = "–" if verdicts <= {"absent"} else "fails" if "fails" in verdicts else "400" if verdicts <= {"refused", "absent"} else "yes"
                row.append(word + marks)
            lines.append(f"| {back.title} | " + " | ".join(row) + " |")
        lines.append("")
    lines += ["### What else a request can say", "", "In the words of a chat completion.", "", "| field | " + " | ".join(back.title for back in BACKS) + " |",
              "|---" * (len(BACKS) + 1) + "|"]
    for title, _, _ in FIELDS["chat"]:
        row = []
        for back in BACKS:
            cell = fields["chat", title, back.name]
            word = {"passes": "left out" if cell.dropped else "yes", "refused": "400", "fails": "fails"}[cell.verdict]
            row.append(word + (f"<sup>{note(cell.detail)}</sup>" if cell.verdict == "refused" else ""))
        lines.append(f"| {title} | " + " | ".join(row) + " |")
    lines += ["", "The reasons, as the 400 gives them:", ""] if notes else []
    lines += [f"{number}. {text}" for text, number in notes.items()]
    return "\n".join(lines).rstrip() + "\n"


BEGIN, END = "<!-- matrix: written by Tests/Integration/dialect_matrix.py -->", "<!-- /matrix -->"


def published(document):
    """What the document has between its marks."""
    return document.split(BEGIN)[1].split(END)[0].strip() + "\n"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--write", type=pathlib.Path, metavar="FILE", help="put the tables between the marks of this document")
    options.add_argument("--front")
    options.add_argument("--back")
    options.add_argument("--case")
    given = options.parse_args()
    from rig import Gateway, Mock
    import tempfile
    with tempfile.TemporaryDirectory() as folder, Mock() as mock:
        gateway = Gateway(configuration(f"http://127.0.0.1:{mock.port}", "epoll"), pathlib.Path(folder))
        try:
            choose = lambda found, name: [one for one in found if not name or one.name == name]
            matrix = Matrix(gateway.port, mock.port)
            cells = matrix.run(choose(FRONTS, given.front), choose(BACKS, given.back), choose(CASES, given.case))
            fields = matrix.fields(choose(FRONTS, given.front), choose(BACKS, given.back))
        finally:
            gateway.stop()
    for key, cell in [*cells.items(), *fields.items()]:
        if cell.verdict == "fails":
            print(" · ".join(key), "FAILS", cell.detail)
    counts = {verdict: sum(cell.verdict == verdict for cell in cells.values()) for verdict in ("passes", "refused", "absent", "fails")}
    print(counts)
    if given.write:
        text = given.write.read_text()
        given.write.write_text(text.split(BEGIN)[0] + BEGIN + "\n" + table(cells, fields) + END + text.split(END)[1])


if __name__ == "__main__":
    main()
