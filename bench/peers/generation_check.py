"""Holds what Argosy says against what llama.cpp says of the same GGUF files, token by token.

    ../llama-venv/bin/python bench/peers/generation_check.py --argosy build/release/argosy FILE.gguf ...

For each file a server is started and asked to go on greedily with some texts. llama.cpp reads the
same tokens and, behind them, those that Argosy said. Compared are the tokens of the texts, the most
probable token at each place, and the logarithms of the probabilities of Argosy's 20 most probable
tokens. Where the most probable token differs, its distance in llama.cpp's logits says by how much.

With files of blocks, both programs round what they multiply to 8 bits, and a last bit that differs
sooner or later rounds another way: they can only be as near to each other as to the truth. --exact
gives that: the same weights in f32 (argosy model export FILE --format f32 --to F32.gguf), by which
llama.cpp tells how far each of the two is from it.

Ends with exit code 1 if tokens of a text differ, if a difference is larger than --tolerance in a file
of whole numbers, or if their mean is larger than --mean-tolerance in a file of blocks.
"""

import argparse
import atexit
import collections
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import llama_cpp
import numpy as np

TEXTS = ["The capital of France is", "def fibonacci(n):\n", "Once upon a time, there was a robot that",
         "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n",
         "The three primary colours are", "1, 2, 3, 4, 5, 6,"]
MOST_PROBABLE = 20

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("files", nargs="+")
parser.add_argument("--argosy", default="build/release/argosy")
parser.add_argument("--tokens", type=int, default=64)
parser.add_argument("--tolerance", type=float, default=2e-3)
parser.add_argument("--mean-tolerance", type=float, default=0.2)
parser.add_argument("--exact", help="the weights of the files of blocks in f32")
args = parser.parse_args()


class Server:
    def __init__(self, file):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        atexit.register(lambda: self.process.kill())
        self.process = subprocess.Popen([args.argosy, "serve", file, "--port", str(port), "--quiet"])
        for _ in range(600):
            try:
                return urllib.request.urlopen(self.url + "/health").close()
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        sys.exit(f"argosy serve {file} did not start")

    def ask(self, route, **fields):
        request = urllib.request.Request(self.url + route, json.dumps(fields).encode())
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def close(self):
        self.process.terminate()
        self.process.wait()


def logarithms(logits):
    logits = logits.astype(np.float64) - logits.max()
    return logits - np.log(np.exp(logits).sum())


def opened(file):
    # keys and values in f32 as Argosy keeps them
    return llama_cpp.Llama(file, n_ctx=1024, logits_all=True, verbose=False, n_threads=2,
                           type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32)


def mean(differences):
    return f"{np.abs(differences).mean():.1e}" if differences else ""


failed = []
exact = opened(args.exact) if args.exact else None
print("| file | tokens | another most probable token (largest distance) | largest difference | mean "
      "| Argosy from exact, mean | llama.cpp from exact, mean |")
print("|---|---|---|---|---|---|---|")
for file in args.files:
    server, model = Server(file), opened(file)
    whole = model.metadata.get("general.file_type") in ("0", "1", "32")  # f32, f16, bf16
    pieces = [model.detokenize([token], special=True).decode(errors="replace") for token in range(model.n_vocab())]
    times = collections.Counter(pieces)
    spelled = {piece: token for token, piece in enumerate(pieces) if times[piece] == 1}
    compared, others, between, ours, theirs = 0, [], [], [], []
    for text in TEXTS:
        prompt = server.ask("/tokenize", content=text, parse_special=True)["tokens"]
        if prompt != model.tokenize(text.encode(), add_bos=False, special=True):
            failed.append(f"{file}: the tokens of {text!r}")
            continue
        said = server.ask("/v1/completions", prompt=prompt, max_tokens=args.tokens, temperature=0,
                          logprobs=MOST_PROBABLE)["choices"][0]["logprobs"]
        tokens = []
        for piece in said["tokens"]:  # as far as they can be told from their spelling
            if piece not in spelled:
                break
            tokens.append(spelled[piece])
        against = [model] + ([exact] if exact and not whole else [])
        for each in against:
            each.reset()
            each.eval(prompt + tokens)
        for i, (token, most) in enumerate(zip(tokens, said["top_logprobs"])):
            row, *truth = (logarithms(np.array(each.scores[len(prompt) - 1 + i])) for each in against)
            compared += 1
            if row.argmax() != token:
                others.append(float(row.max() - row[token]))
            for piece, value in most.items():
                if piece in spelled:
                    between.append(value - row[spelled[piece]])
                    ours += [value - t[spelled[piece]] for t in truth]
                    theirs += [row[spelled[piece]] - t[spelled[piece]] for t in truth]
    server.close()
    largest = np.abs(between).max()
    if whole and largest > args.tolerance or not whole and np.abs(between).mean() > args.mean_tolerance:
        failed.append(f"{file}: logarithms differ by {largest:.3g}")
    distance = f" ({max(others):.3f})" if others else ""
    print(f"| {file.split('/')[-1]} | {compared} | {len(others)}{distance} | {largest:.1e} | {mean(between)} "
          f"| {mean(ours)} | {mean(theirs)} |", flush=True)
sys.exit("differs: " + ", ".join(failed) if failed else 0)
