"""Compares Argosy's token ids with those of Hugging Face's tokenizers and of SentencePiece.

The texts: all of Unicode, languages, code, emoji, control characters, white space, random strings,
and the files that are named. The vocabularies: SmolLM2's (from a GGUF file), one of GPT-2's kind and
one of Llama's kind that are trained here. Both trainers must learn the same merges, and any bytes
must come back.

    python bench/peers/tokenizer_check.py --argosy build/release/argosy [--gguf smollm2.gguf] TEXT...

needs: pip install tokenizers sentencepiece gguf numpy
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # CPU time is compared at one thread

import numpy as np
import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

LANGUAGES = [
    "The quick brown fox can't jump over 12 lazy dogs; they'll've seen it'S coming. I'D say so.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Voix ambiguë d’un cœur qui, au zéphyr, préfère les jattes de kiwis.",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío, ¿añoraba a su querido cachorro?",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "いろはにほへと ちりぬるを。我輩は猫である。名前はまだ無い。カタカナ ﾊﾝｶｸ",
    "天地玄黃,宇宙洪荒。日月盈昃,辰宿列張。2024年12月31日",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले",
    "Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul ı İ ſ K Å",
    "Do bạch kim rất quý nên sẽ dùng để lắp vô xương.",
    "ქართული ენა, հայերեն, አማርኛ, ᠮᠣᠩᠭᠣᠯ, བོད་སྐད, ខ្មែរ",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈🇩🇪🇯🇵👍🏽 e\u0301 ﬁ ½ ² Ⅷ ① ٣ ४ 𝟘 𝕏 𐍈 𠜎",
]


def corpus(files, seed=1):
    texts = list(LANGUAGES)
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    for begin in range(0, len(characters), 512):
        block = characters[begin:begin + 512]
        texts.append("".join(block))
        texts.append(" ".join(block))
    texts += [chr(c) + "a " + chr(c) + chr(c) for c in range(0x3000)]
    generator = random.Random(seed)
    spaces = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2003", "\u3000", "\u180e", "\u200b", "\x0b",
              "\x85", "\u2028"]
    common = [chr(c) for c in range(0x20, 0x250)]
    words = ["the", "don't", "I'LL", "x1", "2024", "...", "=>", "é", "ñ", "_", "😀", "中文", "<|im_end|>",
             "<|endoftext|>", "<s>", "\u2019s"]
    for _ in range(3000):
        pool = generator.choice([characters, common, spaces + words, words, spaces])
        texts.append("".join(generator.choice(pool) for _ in range(generator.randint(1, 60))))
    texts += ["a" * 5000, " " * 5000, "\n" * 5000, "ab" * 3000, "1" * 5000, "!" * 5000, "é" * 3000,
              "\x00" * 100, " \n" * 2000 + "x", "<|im_st" * 500]
    for file in files:
        texts.append(Path(file).read_text())
    return [text for text in texts if text]


def run(*command):
    """CPU seconds of a command."""
    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime
    before = spent()
    subprocess.run(command, check=True, capture_output=True)
    return spent() - before


def encode_with_argosy(argosy, tokenizer, texts, folder):
    """Ids of each text, through a token store."""
    lines = folder / "texts.jsonl"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    store = folder / "store"
    seconds = run(argosy, "data", "tokens", lines, "--tokenizer", tokenizer, "--to", store,
                  "--chat-format", "plain", "--strict", "--threads", "1")
    info = json.loads((store / "store.json").read_text())
    width = np.uint16 if info["vocabulary"] <= 65536 else np.uint32
    tokens = np.fromfile(store / "tokens.bin", width)
    begins = np.fromfile(store / "documents.bin", np.uint64).astype(np.int64)
    shutil.rmtree(store)
    return [tokens[a:b].tolist() for a, b in zip(begins, begins[1:])], seconds


def compare(name, ours, theirs, texts, closed):
    """`closed`: our documents have one token more, which ends them."""
    assert len(ours) == len(theirs) == len(texts), (len(ours), len(theirs), len(texts))
    different = 0
    for our, their, text in zip(ours, theirs, texts):
        our = our[:-1] if closed else our
        if our == their:
            continue
        different += 1
        if different <= 5:
            place = next((i for i, (a, b) in enumerate(zip(our, their)) if a != b),
                         min(len(our), len(their)))
            print(f"  {name}: {text[:60]!r}: at {place} ours {our[place:place + 6]}, "
                  f"theirs {their[place:place + 6]}")
    count = sum(map(len, theirs))
    print(f"{name}: {len(texts)} texts, {count} tokens, {different} texts differ")
    return different


def smollm2(gguf_file):
    import gguf
    fields = gguf.GGUFReader(gguf_file).fields
    names = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    types = fields["tokenizer.ggml.token_type"].contents()
    tokenizer = tokenizers.Tokenizer(
        models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([name for name, kind in zip(names, types) if kind == 3])
    return tokenizer


def check_byte_level(name, tokenizer, texts, argosy, work):
    folder = work / name
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    ours, our_seconds = encode_with_argosy(argosy, folder, texts, folder)
    tokenizer.encode_special_tokens = True  # their names are plain text
    begin = time.process_time()
    theirs = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    their_seconds = time.process_time() - begin
    print(f"{name}: CPU time: Argosy {our_seconds:.2f} s with start, reading and writing, "
          f"tokenizers {their_seconds:.2f} s, {their_seconds / our_seconds:.1f} times as much")
    return compare(name, ours, theirs, texts, closed="<|endoftext|>" in tokenizer.get_vocab())


def train(files, vocabulary):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, show_progress=False,
                                  special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([Path(file).read_text() for file in files], trainer)
    return tokenizer


def check_training(files, vocabulary, argosy, work):
    """Both learn the same, and what Argosy writes is read by tokenizers."""
    store = work / "trained"
    our_seconds = run(argosy, "data", "tokens", *files, "--vocabulary", str(vocabulary), "--to",
                      store, "--threads", "1")
    begin = time.process_time()
    theirs = train(files, vocabulary)
    their_seconds = time.process_time() - begin
    print(f"training: CPU time: Argosy {our_seconds:.2f} s, tokenizers {their_seconds:.2f} s, "
          f"{their_seconds / our_seconds:.1f} times as much")
    theirs.save(str(work / "theirs.json"))
    ours = json.loads((store / "tokenizer.json").read_text())["model"]
    their = json.loads((work / "theirs.json").read_text())["model"]
    different = [a != b for a, b in zip(ours["merges"], their["merges"])]
    fault = ours["vocab"] != their["vocab"] or any(different) or \
        len(ours["merges"]) != len(their["merges"])
    where = f", from merge {different.index(True)} on" if any(different) else ""
    print(f"training: {len(their['merges'])} merges, "
          f"{'different' + where if fault else 'the same, and the same vocabulary'}")
    read = tokenizers.Tokenizer.from_file(str(store / "tokenizer.json"))
    text = Path(files[0]).read_text()
    fault |= read.encode(text).ids != theirs.encode(text).ids
    return int(fault), theirs


def check_bytes(argosy, work):
    """Any bytes come back: from the ids, by the spellings of the vocabulary."""
    data = random.Random(2).randbytes(300_000)
    file = work / "random.txt"
    file.write_bytes(data)
    store = work / "bytes"
    run(argosy, "data", "tokens", file, "--tokenizer", work / "trained", "--to", store)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(256 + i): byte for i, byte in enumerate(others)})
    tokenizer = json.loads((store / "tokenizer.json").read_text())
    special = {token["id"] for token in tokenizer["added_tokens"]}
    spelled = {token: bytes(alphabet[c] for c in name)
               for name, token in tokenizer["model"]["vocab"].items() if token not in special}
    tokens = np.fromfile(store / "tokens.bin", np.uint16)[:-1]
    back = b"".join(spelled[int(token)] for token in tokens) == data
    print(f"random bytes: {'come back' if back else 'DO NOT come back'}")
    return int(not back)


def check_llama(files, texts, argosy, work):
    """Of Llama's kind: SentencePiece's own model, and the same as tokenizer.json with merges."""
    folder = work / "llama"
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        input=",".join(map(str, files)), model_prefix=str(folder / "tokenizer"), vocab_size=4000,
        model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True,
        minloglevel=2)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    # U+2581 in a text is a space to them, and bytes to Argosy
    texts = [text.replace("\u2581", "") or "x" for text in texts]
    ours, _ = encode_with_argosy(argosy, folder / "tokenizer.model", texts, folder)
    theirs = [processor.encode(text) for text in texts]
    faults = compare("sentencepiece", ours, theirs, texts, closed=True)

    vocabulary = {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}
    merges = []
    for piece, token in vocabulary.items():
        if processor.is_byte(token) or processor.is_control(token) or processor.is_unknown(token):
            continue
        merges += [(processor.get_score(token), piece[:cut], piece[cut:])
                   for cut in range(1, len(piece))
                   if piece[:cut] in vocabulary and piece[cut:] in vocabulary]
    merges.sort(key=lambda merge: -merge[0])
    tokenizer = tokenizers.Tokenizer(
        models.BPE(vocab=vocabulary, merges=[merge[1:] for merge in merges], unk_token="<unk>",
                   fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    json_folder = work / "llama-json"
    json_folder.mkdir()
    tokenizer.save(str(json_folder / "tokenizer.json"))
    ours, _ = encode_with_argosy(argosy, json_folder, texts, json_folder)
    tokenizer.encode_special_tokens = True
    theirs = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    return faults + compare("llama tokenizer.json", ours, theirs, texts, closed=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--argosy", type=Path, required=True)
    parser.add_argument("--gguf", help="SmolLM2's")
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("files", nargs="+", metavar="TEXT", help="also what is trained on")
    arguments = parser.parse_args()
    argosy = arguments.argosy.resolve()
    texts = corpus(arguments.files)
    faults = 0
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        different, trained = check_training(arguments.files, arguments.vocabulary, argosy, work)
        faults += different
        faults += check_byte_level("gpt2-like", trained, texts, argosy, work)
        if arguments.gguf:
            faults += check_byte_level("smollm2", smollm2(arguments.gguf), texts, argosy, work)
        faults += check_bytes(argosy, work)
        faults += check_llama(arguments.files, texts, argosy, work)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
