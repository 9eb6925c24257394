"""Follows a stream with httpx-sse or sseclient-py, and prints what it sees: one JSON object per line.

Neither comes back by itself. The loop is that of their documentation: it begins again after the last ID.
"""

import json
import sys
import time

import httpx
import httpx_sse
import requests
import sseclient


def with_httpx_sse(url, headers):
    with httpx.Client(timeout=None) as client:
        with httpx_sse.connect_sse(client, "GET", url, headers=headers) as source:
            source.response.raise_for_status()
            for event in source.iter_sse():
                yield event.event, event.data, event.id, event.retry


def with_sseclient(url, headers):
    headers = {"Accept": "text/event-stream", **headers}
    with requests.get(url, headers=headers, stream=True) as response:
        response.raise_for_status()
        for event in sseclient.SSEClient(response).events():
            yield event.event, event.data, event.id, event.retry


def main():
    library, url = sys.argv[1:]
    events = {"httpx-sse": with_httpx_sse, "sseclient-py": with_sseclient}[library]
    last_id, wait = "", 1
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        try:
            for kind, data, event_id, retry in events(url, headers):
                last_id = event_id or last_id
                wait = int(retry) / 1000 if retry else wait
                # httpx-sse shows blocks without data too, as events of the type `message`.
                if data:
                    print(json.dumps({"type": kind, "data": data, "id": event_id}))
        except (httpx.HTTPStatusError, requests.HTTPError) as error:
            print(json.dumps({"status": error.response.status_code}))
            return
        except (httpx.TransportError, requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            pass
        time.sleep(wait)


main()
