"""Holds what Argosy says against what llama.cpp says of the same GGUF files, token by token.

    ../llama-venv/bin/python bench/peers/generation_check.py --argosy build/release/argosy FILE.gguf ...

For each file a server is started and asked to go on greedily with some texts. llama.cpp reads the
same tokens and, behind them, those that Argosy said. Compared are the tokens of the texts, the most
probable token at each place, and the logarithms of the probabilities of Argosy's 20 most probable
tokens. Where the most probable token differs, the distance between both in llama.cpp's logits says
whether that is rounding. Ends with exit code 1 if tokens of a text differ, or if a difference is larger
than --tolerance (files of whole numbers) or --block-tolerance (files of blocks, whose products both
programs round in ways of their own).
"""

import argparse
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
parser.add_argument("--block-tolerance", type=float, default=1.5)
args = parser.parse_args()


class Server:
    def __init__(self, file):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
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


failed = []
print("| file | texts | tokens | another most probable token (largest distance) | largest difference | mean |")
print("|---|---|---|---|---|---|")
for file in args.files:
    server = Server(file)
    # keys and values in f32 as Argosy keeps them
    model = llama_cpp.Llama(file, n_ctx=1024, logits_all=True, verbose=False, n_threads=2,
                            type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32)
    spelled = {model.detokenize([token], special=True).decode(errors="replace"): token
               for token in reversed(range(model.n_vocab()))}
    compared, others, differences = 0, [], []
    for text in TEXTS:
        prompt = server.ask("/tokenize", content=text, parse_special=True)["tokens"]
        if prompt != model.tokenize(text.encode(), add_bos=False, special=True):
            failed.append(f"{file}: the tokens of {text!r}")
            continue
        said = server.ask("/v1/completions", prompt=prompt, max_tokens=args.tokens, temperature=0,
                          logprobs=MOST_PROBABLE)["choices"][0]
        tokens = [spelled[piece] for piece in said["logprobs"]["tokens"]]
        model.reset()
        model.eval(prompt + tokens)
        for i, (token, most) in enumerate(zip(tokens, said["logprobs"]["top_logprobs"])):
            row = logarithms(np.array(model.scores[len(prompt) - 1 + i]))
            compared += 1
            if row.argmax() != token:
                others.append(float(row.max() - row[token]))
            best = np.argsort(-row)[:len(most)]
            ours = np.array(sorted(most.values(), reverse=True))
            differences.append(np.abs(ours - row[best]))
    server.close()
    worst, mean = max(d.max() for d in differences), float(np.concatenate(differences).mean())
    whole = model.metadata.get("general.file_type") in ("0", "1", "32")  # f32, f16, bf16
    if worst > (args.tolerance if whole else args.block_tolerance):
        failed.append(f"{file}: logarithms differ by {worst:.3g}")
    distance = f" ({max(others):.3f})" if others else ""
    print(f"| {file.split('/')[-1]} | {len(TEXTS)} | {compared} | {len(others)}{distance} | {worst:.2e} | {mean:.1e} |",
          flush=True)
sys.exit("differs: " + ", ".join(failed) if failed else 0)
