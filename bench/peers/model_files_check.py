"""Holds models as Argosy writes them against llama.cpp and transformers.

    python bench/peers/model_files_check.py --argosy build/release/argosy MODEL.gguf \
        [--llama ../llama-venv/bin/python] [--torch ../torch-venv/bin/python]

The two environments are those of bench/peers/README.md. MODEL.gguf is written anew as GGUF in its
own formats, as GGUF in f32, and as a Hugging Face folder in f32. Then

  llama.cpp, the file / its copy       the same tokens, the same logits bit for bit
  llama.cpp, the file / the f32 file   the same but for llama.cpp's rounding of activations
  llama.cpp / transformers, both f32   the same tokens and logits to rounding
  the rendered conversation            the same text from the chat template

and each format that `argosy model quantize` has is loaded by llama.cpp, which says by how much the
logits move. Ends with exit code 1 if anything differs by more than its tolerance.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

TEXTS = ["The capital of France is Paris, and the river",
         "def add(a, b):\n    return a + b\n\n\ndef multiply(",
         "In 1969, 1234567 people <|im_end|> saw  the   Moon\t\u00e9\u4e2d\U0001f600."]
FORMATS = ["bf16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0"]
MESSAGES = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "How are you?"}]


def with_llama(path):
    import llama_cpp
    import numpy as np
    model = llama_cpp.Llama(path, n_ctx=512, logits_all=True, verbose=False, n_threads=1,
                            type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32)
    out = []
    for text in TEXTS:
        tokens = model.tokenize(text.encode(), add_bos=False, special=True)
        model.reset()
        model.eval(tokens)
        out.append({"tokens": tokens, "logits": np.array(model.scores[:len(tokens)])})
    return {"texts": out, "template": model.metadata.get("tokenizer.chat_template", "")}


def with_torch(path):
    import torch
    import transformers
    transformers.utils.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    out = []
    for text in TEXTS:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0]
        out.append({"tokens": tokens, "logits": logits.numpy()})
    rendered = ""
    if tokenizer.chat_template:
        rendered = tokenizer.apply_chat_template(MESSAGES, tokenize=False,
                                                 add_generation_prompt=True)
    return {"texts": out, "rendered": rendered, "template": tokenizer.chat_template or "",
            "end": tokenizer.eos_token, "ends": model.generation_config.eos_token_id}


def save(result, path):
    import numpy as np
    arrays = {f"logits{i}": text.pop("logits") for i, text in enumerate(result["texts"])}
    np.savez(path, about=json.dumps(result), **arrays)


def load(path):
    import numpy as np
    with np.load(path) as arrays:
        result = json.loads(str(arrays["about"]))
        for i, text in enumerate(result["texts"]):
            text["logits"] = arrays[f"logits{i}"].astype(np.float64)
    return result


def child(python, mode, path, folder):
    out = folder / "out.npz"
    done = subprocess.run([python, __file__, "--child", mode, str(path), "--to", str(out)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{mode} could not load {path}:\n{done.stderr[-3000:]}")
    return load(out)


def argosy(program, *arguments):
    done = subprocess.run([program, "model", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"argosy model {' '.join(map(str, arguments))}: {done.stderr.strip()}")


def compare(first, second):
    """Largest difference of logits, mean divergence of the next token's distribution, agreement of
    the most probable token; None if the tokens differ."""
    import numpy as np
    largest, divergence, agree, rows = 0, 0, 0, 0
    for a, b in zip(first["texts"], second["texts"]):
        if a["tokens"] != b["tokens"]:
            return None
        x, y = a["logits"], b["logits"]
        largest = max(largest, float(np.abs(x - y).max()))
        p, q = (t - t.max(-1, keepdims=True) for t in (x, y))
        p, q = (t - np.log(np.exp(t).sum(-1, keepdims=True)) for t in (p, q))
        divergence += float((np.exp(p) * (p - q)).sum())
        agree += int((x.argmax(-1) == y.argmax(-1)).sum())
        rows += len(x)
    return largest, divergence / rows, agree / rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--argosy", default="build/release/argosy")
    parser.add_argument("--llama", default="../llama-venv/bin/python")
    parser.add_argument("--torch", default="../torch-venv/bin/python")
    parser.add_argument("--child")
    parser.add_argument("--to")
    options = parser.parse_args()
    if options.child:
        save({"llama": with_llama, "torch": with_torch}[options.child](options.model), options.to)
        return
    bad = []

    def row(what, first, second, tolerance, most_divergence=1.0):
        found = compare(first, second)
        if found is None:
            bad.append(what)
            print(f"{what:52} the tokens differ")
            return
        largest, divergence, agree = found
        too_much = largest > tolerance or divergence > most_divergence
        if too_much:
            bad.append(what)
        print(f"{what:52} {largest:10.2e} {divergence:11.2e} {100 * agree:8.1f} %"
              f"{'  TOO MUCH' if too_much else ''}")

    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        argosy(options.argosy, "export", options.model, "--to", folder / "copy.gguf")
        argosy(options.argosy, "export", options.model, "--to", folder / "f32.gguf",
               "--format", "f32")
        argosy(options.argosy, "export", options.model, "--to", folder / "folder",
               "--format", "f32")
        argosy(options.argosy, "export", folder / "folder", "--to", folder / "back.gguf")
        given = child(options.llama, "llama", options.model, folder)
        plain = child(options.llama, "llama", folder / "f32.gguf", folder)
        torch = child(options.torch, "torch", folder / "folder", folder)
        print(f"{'':52} {'largest':>10} {'divergence':>11} {'agreement':>10}")
        row("llama.cpp: the file, its copy", given,
            child(options.llama, "llama", folder / "copy.gguf", folder), 0)
        row("llama.cpp: f32, f32 by way of the folder", plain,
            child(options.llama, "llama", folder / "back.gguf", folder), 0)
        row("llama.cpp: the file, f32", given, plain, 2)
        row("f32: llama.cpp, transformers", plain, torch, 2e-3)
        if given["template"] != torch["template"]:
            bad.append("chat template")
            print("the chat template differs")
        print(f"ends: {torch['end']} {torch['ends']}; a conversation:\n{torch['rendered']}")
        for name in FORMATS:
            path = folder / f"{name}.gguf"
            argosy(options.argosy, "quantize", folder / "folder", "--to", path, "--format", name)
            row(f"llama.cpp: f32, {name} ({path.stat().st_size / 1e6:.0f} MB)", plain,
                child(options.llama, "llama", path, folder), float("inf"))
            path.unlink()
    if bad:
        sys.exit("differs: " + ", ".join(bad))


main()
