"""Drives PyPI `httpx-sse`: reads `{"id", "chunks": [hex]}` per line of stdin, writes
`{"id", "messages" | "error"}`."""

import json
import sys

import httpx
from httpx_sse import EventSource


def messages(chunks):
    response = httpx.Response(
        200,
        headers={"content-type": "text/event-stream"},
        content=(bytes.fromhex(chunk) for chunk in chunks),
    )
    return [
        {"type": sse.event, "data": sse.data, "lastEventId": sse.id}
        for sse in EventSource(response).iter_sse()
        # It also yields blocks without data, which look the same as those with empty data.
        if sse.data
    ]


for line in sys.stdin:
    stream = json.loads(line)
    try:
        answer = {"messages": messages(stream["chunks"])}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps({"id": stream["id"], **answer}))
