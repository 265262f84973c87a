"""The child process of ``infra/local_model.py``: llama.cpp's own HTTP server on loopback, for as long as its parent lives.

Run as ``python -m infra.local_model_server WEIGHTS PORT THREADS PARENT_PID``. Once it answers, it writes its address to standard output,
one line; whatever llama.cpp prints goes to standard error. Standard input is the parent's leash: at its end, or once the parent is
another, the process is gone.
"""

import os
import select
import sys

import xllamacpp

MODEL_ALIAS = "SmolLM2-135M-Instruct"
SLOTS = 4
CONTEXT_TOKENS_PER_SLOT = 4_096
BATCH_TOKENS = 512
MMAP = 1
LOG_ERRORS = 1  # llama.cpp warns at each prompt that it has seen before
PARENT_LOOK_S = 1.0


def main() -> None:
    weights, (port, threads, parent_pid) = sys.argv[1], map(int, sys.argv[2:])
    announcements = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    try:
        server = xllamacpp.Server(_parameters(weights, port, threads))
    except RuntimeError as problem:  # llama.cpp has said why
        sys.exit(str(problem))
    with announcements:
        announcements.write(f"{server.listening_address}\n")

    _wait_for_the_end(parent_pid)
    os._exit(0)  # at once, whatever is being generated: nothing here is worth saving


def _parameters(weights: str, port: int, threads: int) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = weights
    parameters.model_alias = {MODEL_ALIAS}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port  # 0: the kernel picks a free one as it binds, so nobody can take it in between
    parameters.cors_origins = "null"  # a web page that happens to be open in a browser has no business here
    parameters.ui = False
    parameters.verbosity = LOG_ERRORS

    parameters.n_parallel = SLOTS
    parameters.n_ctx = SLOTS * CONTEXT_TOKENS_PER_SLOT
    parameters.n_batch = BATCH_TOKENS
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.load_mode = MMAP
    parameters.fit_params = False  # the sizes above are meant
    parameters.warmup = False  # the first request is as good a warm-up, and start-up is shorter
    parameters.cache_ram_mib = 0  # prompts of idle slots are not kept beyond their slot
    return parameters


def _wait_for_the_end(parent_pid: int) -> None:
    """The leash tells at once, unless a fork of the parent holds a copy of its other end; then the parent's pid tells."""
    while os.getppid() == parent_pid:
        ready, _, _ = select.select([sys.stdin], [], [], PARENT_LOOK_S)
        if ready and not os.read(sys.stdin.fileno(), 1):
            return


if __name__ == "__main__":
    main()
