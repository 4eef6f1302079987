"""``growlm serve``."""


def serve(
    stack: str = "checkpoints/stack",
    host: str = "127.0.0.1",
    port: int = 8000,
    base: str | None = None,
    max_new_tokens: int = 200,
    max_batch: int = 8,
    max_waiting: int = 64,
    seconds: float = 120.0,
) -> None:
    """Answer chat requests over HTTP as OpenAI's clients send them, and show a page to chat on.

    Each path of the stack is a model: ``base``, a module's name, or names joined by ``+``; with ``auto`` the router
    chooses.

    Args:
        stack: the stack's folder, or the name of a shipped base.
        host: address to listen on; the default is reached from this machine alone. There is no password.
        port: port to listen on.
        base: where the base is now, if not where the manifest says.
        max_new_tokens: greatest number of tokens of an answer, whatever a request asks for.
        max_batch: greatest number of requests that are answered at once.
        max_waiting: greatest number of requests that wait; more are refused with status 503.
        seconds: greatest time that an answer may take, waiting included.
    """
    from pathlib import Path

    from growlm.errors import needs_extra
    from growlm.show.talk import open_stack

    try:
        import uvicorn

        from growlm.serve.app import create_app
        from growlm.serve.engine import Engine
    except ImportError as error:
        raise needs_extra("serving", error.name, "serve") from None
    engine = Engine(open_stack(Path(stack), base, None), max_batch, max_waiting, seconds)
    print(f"{stack}: http://{host}:{port} (chat page), http://{host}:{port}/v1 (API); Ctrl-C ends", flush=True)
    uvicorn.run(create_app(engine, max_new_tokens), host=host, port=port, log_level="warning")
