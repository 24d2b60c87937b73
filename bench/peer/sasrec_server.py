#!/usr/bin/env python3
"""A Python server of a SASRec, beside which qiao is timed: POST /v1/recommendations with {"session": [ROW, …], "count": N}.

    sasrec_server.py MODEL.gguf PORT [--threads 1] [--batch 64]

The barest that Python has: asyncio's protocol, a head that is hardly looked at, one thread that takes what waits as a batch and asks
torch (sasrec.py). No key, no limit, no catalogue, no filter. bench-shop asks it as it asks a scheduler.
"""

import argparse
import asyncio
import json

from sasrec import Sasrec, torch


class Server:
    def __init__(self, model, batch):
        self.model, self.batch, self.waiting = model, batch, asyncio.Queue()

    def answer(self, asked):
        top = max(count for _, count in asked)
        with torch.inference_mode():
            found = self.model.lists([history for history, _ in asked], top)
        return [[{"item": str(row), "score": score} for row, score in zip(rows[:count], scores[:count])]
                for (_, count), rows, scores in zip(asked, found.indices.tolist(), found.values.tolist())]

    async def run(self):
        loop = asyncio.get_running_loop()
        while True:
            taken = [await self.waiting.get()]
            while len(taken) < self.batch and not self.waiting.empty():
                taken.append(self.waiting.get_nowait())
            lists = await loop.run_in_executor(None, self.answer, [asked for _, asked in taken])
            for (connection, _), data in zip(taken, lists):
                connection.reply({"object": "recommendations", "basis": "session", "data": data})


class Connection(asyncio.Protocol):
    def __init__(self, server):
        self.server, self.bytes = server, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.bytes += data
        head, end, body = self.bytes.partition(b"\r\n\r\n")
        if not end:
            return
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < size:
            return
        self.bytes = body[size:]
        asked = json.loads(body[:size])
        history = [int(row) for row in asked["session"]]
        self.server.waiting.put_nowait((self, (history, asked.get("count", 10))))

    def reply(self, answer):
        body = json.dumps(answer).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def serve(options):
    server = Server(Sasrec(options.model), options.batch)
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Connection(server), "127.0.0.1", options.port)
    print("ready", flush=True)
    await server.run()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
