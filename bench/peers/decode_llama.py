"""llama.cpp's decoding and prefill of one GGUF file, by llama-cpp-python's bindings: the peer of
`argosy bench decode --serve`, with its protocol (one JSON object a line on standard output; standard
input: "decode TOKENS [SEQUENCES]" or "prefill TOKENS").

usage: decode_llama.py FILE.gguf [--threads N] [--started UNIX_TIME]
"""
import argparse
import ctypes
import sys
import time

import llama_cpp as llama

from measuring import report, seconds_since_start

SEQUENCES, MOST_ROWS = 8, 512

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("file")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--started", type=float)
args = parser.parse_args()

quiet = llama.llama_log_callback(lambda *_: None)
llama.llama_log_set(quiet, ctypes.c_void_p(0))
llama.llama_backend_init()
begin = time.perf_counter()
model = llama.llama_model_load_from_file(args.file.encode(), llama.llama_model_default_params())
vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
options = llama.llama_context_default_params()
options.n_ctx = 1024 * SEQUENCES
options.n_batch = options.n_ubatch = MOST_ROWS
options.n_seq_max = SEQUENCES
options.kv_unified = True
options.n_threads = options.n_threads_batch = args.threads
context = llama.llama_init_from_model(model, options)
batch = llama.llama_batch_init(MOST_ROWS, 0, 1)


def token_at(i):
    return i * 7919 % (vocabulary - 1) + 1


def run(rows):
    """rows: (token, position, sequence, answers)"""
    batch.n_tokens = len(rows)
    for i, (token, position, sequence, answers) in enumerate(rows):
        batch.token[i], batch.pos[i] = token, position
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        batch.logits[i] = answers
    assert llama.llama_decode(context, batch) == 0
    llama.llama_synchronize(context)


def clear():
    llama.llama_memory_clear(llama.llama_get_memory(context), True)


def decode(tokens, sequences):
    for i in range(tokens):
        run([(token_at(i + s), i, s, 1) for s in range(sequences)])


def prefill(tokens):
    for first in range(0, tokens, MOST_ROWS):
        run([(token_at(i), i, 0, i + 1 == tokens) for i in range(first, min(tokens, first + MOST_ROWS))])


clear()
prefill(2)
report(event="ready", program="llama.cpp " + llama.__version__, threads=args.threads,
       system=llama.llama_print_system_info().decode(),
       start_to_first_token_s=seconds_since_start(args.started),
       load_to_first_token_s=time.perf_counter() - begin)
for line in sys.stdin:
    words = line.split()
    clear()
    begin, cpu = time.perf_counter(), time.process_time()
    if words[0] == "decode":
        tokens, sequences = int(words[1]), int(words[2]) if len(words) > 2 else 1
        decode(tokens, sequences)
        tokens *= sequences
    elif words[0] == "prefill":
        tokens = int(words[1])
        prefill(tokens)
    else:
        break
    seconds = time.perf_counter() - begin
    report(event=words[0], tokens=tokens, seconds=seconds, cpu_s=time.process_time() - cpu,
           tokens_per_s=tokens / seconds)
