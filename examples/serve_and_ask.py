"""Serve a stack as OpenAI's chat interface, and ask it with the client library ``openai``."""

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openai import APIConnectionError, OpenAI
from tiny_base import tiny_base

import growlm
from growlm.modules.lora import Lora

with tempfile.TemporaryDirectory() as folder:
    stack = growlm.ModuleStack.from_base(tiny_base(Path(folder) / "base"))
    stack.attach("chat", {"lora": Lora(rank=2)})
    stack.freeze("chat")
    stack.save_pretrained(Path(folder) / "stack")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "growlm", "serve", str(Path(folder) / "stack"), "--port", str(port)]
    )
    try:
        client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
        for _ in range(600):
            try:
                models = [model.id for model in client.models.list()]
                break
            except APIConnectionError:
                time.sleep(0.5)
        print("models:", ", ".join(models))
        messages = [{"role": "user", "content": "Who has the ball?"}]
        answer = client.chat.completions.create(model="chat", messages=messages, max_tokens=8)
        print(f"{answer.model}: {answer.choices[0].message.content!r}")
        pieces = client.chat.completions.create(model="base", messages=messages, max_tokens=8, stream=True)
        print("base:", repr("".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)))
    finally:
        server.terminate()
        server.wait()
