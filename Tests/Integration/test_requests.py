"""Requests as good clients send them, in all the ways TCP and HTTP/1 allow."""
from wire import chat


def test_a_completion_passes(front):
    answer = front.ask(chat())
    assert answer.status == 200 and answer.json()["object"] == "chat.completion"


def test_a_stream_passes(front):
    answer = front.ask(chat(stream=True))
    assert answer.status == 200 and answer.events[-1] == "[DONE]"
