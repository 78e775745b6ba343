"""Holds Grok files as Argosy writes them against llama.cpp.

    ../llama-venv/bin/python bench/peers/grok_gguf_check.py --argosy build/release/argosy \
        --text input.txt FILE.gguf ...

The environment is that of bench/peers/README.md. Of each file: the loss on the text's first tokens,
by windows as long as the context, of both programs; and whether they go on alike from the text's
beginning, greedily. llama.cpp's Grok scales the gates of a token to sum to 1, looks GELU up in a table
of 16-bit floats, and keeps keys and values in f32 here. Ends with exit code 1 if losses differ by more
than the tolerance.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import numpy as np

TOLERANCE = 2e-3  # nats a token
F32 = 0           # GGML's number for the type


def losses(model, tokens, window):
    """-ln p of each token but a window's first."""
    found = []
    for first in range(0, len(tokens), window):
        piece = tokens[first:first + window]
        if len(piece) < 2:
            break
        model.reset()
        model.eval(piece)
        logits = np.array(model.scores[:len(piece) - 1], dtype=np.float64)
        logits -= logits.max(-1, keepdims=True)
        total = np.log(np.exp(logits).sum(-1))
        found.extend(total - logits[np.arange(len(piece) - 1), piece[1:]])
    return found


def argosy(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"argosy {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--argosy", default="build/release/argosy")
    parser.add_argument("--text", required=True)
    parser.add_argument("--bytes", type=int, default=8192, help="of the text")
    options = parser.parse_args()
    text = pathlib.Path(options.text).read_bytes()[:options.bytes].decode(errors="ignore")
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        part = pathlib.Path(folder) / "part.txt"
        part.write_text(text)
        print(f"{'':40} {'tokens':>7} {'Argosy':>9} {'llama.cpp':>9} {'difference':>11}  greedy")
        for file in options.files:
            about = json.loads(argosy(options.argosy, "model", "info", file, "--json", "-"))
            window = min(512, about["context"])
            ours = json.loads(argosy(options.argosy, "eval", file, "--data", part, "--json", "-"))
            model = llama_cpp.Llama(file, n_ctx=window, n_batch=window, n_ubatch=window, logits_all=True,
                                    verbose=False, n_threads=1, type_k=F32, type_v=F32)
            tokens = model.tokenize(text.encode(), add_bos=False, special=False)
            theirs = losses(model, tokens, window)
            begin, count = text[:min(24, window // 2)], min(40, window // 3)
            model.reset()
            seen = model.tokenize(begin.encode(), add_bos=False, special=False)
            model.eval(seen)
            for _ in range(count):
                seen.append(int(np.argmax(model.scores[model.n_tokens - 1])))
                model.eval(seen[-1:])
            own = argosy(options.argosy, "chat", file, "--complete", begin, "--temperature", 0,
                         "--max-tokens", count)
            same = model.tokenize(own.encode(), add_bos=False, special=False)[:len(seen)] == seen
            difference = ours["loss"] - np.mean(theirs)
            print(f"{pathlib.Path(file).name:40} {len(theirs):7} {ours['loss']:9.5f} "
                  f"{np.mean(theirs):9.5f} {difference:11.1e}  {'the same' if same else 'differs'}")
            if ours["tokens"] != len(theirs) or abs(difference) > TOLERANCE:
                bad.append(file)
    if bad:
        sys.exit("differs: " + ", ".join(bad))


main()
