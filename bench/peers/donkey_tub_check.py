"""Reads a tub that Argosy wrote with Donkey Car's own reader, and goes on with it as Donkey Car.

Needs the environment of bench/peers/README.md (donkeycar 5.3.0):

    python bench/peers/donkey_tub_check.py TUB

Compares records, pictures and manifests with the files, in a copy of the tub; appends a session with
Donkey Car's Tub and reads everything again. Ends with exit code 1 and a sentence if anything differs.
"""

import json
import os
import shutil
import sys
import tempfile

import numpy as np
from donkeycar.parts.tub_v2 import Tub
from PIL import Image


def require(truth, text):
    if not truth:
        sys.exit(f"donkey_tub_check: {text}")


def lines_of(folder):
    with open(os.path.join(folder, "manifest.json")) as manifest:
        catalogs = json.loads(manifest.read().splitlines()[4])["paths"]
    return [json.loads(line) for name in catalogs for line in open(os.path.join(folder, name))]


def read(folder, read_only, inputs=[], types=[]):
    tub = Tub(folder, inputs, types, read_only=read_only)
    records = list(tub)
    require(records == lines_of(folder), "Donkey Car reads other records than the catalogs hold")
    for record in records:
        for name, kind in zip(tub.manifest.inputs, tub.manifest.types):
            if kind != "image_array":
                continue
            with Image.open(os.path.join(folder, Tub.images(), record[name])) as picture:
                picture.load()
                require(picture.mode == "RGB", f"{record[name]} is {picture.mode}")
    return tub, records


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.join(temporary, "tub")
        shutil.copytree(sys.argv[1], folder)
        tub, before = read(folder, True)
        index = tub.manifest.current_index
        if index < len(before):  # Donkey Car would go on at an index that is there already
            print(f"{len(before)} records of a recording that was killed: all the same")
            return
        require(len(before) == index, f"{len(before)} records, current_index {index}")
        tub, _ = read(folder, False, tub.manifest.inputs, tub.manifest.types)
        some = {"float": 0.5, "int": 1, "str": "pilot", "boolean": True, "vector": [0.5], "list": [1],
                "nparray": np.zeros(1), "image_array": np.zeros((120, 160, 3), np.uint8)}
        for _ in range(3):
            tub.write_record({name: some[kind] for name, kind in tub.input_types.items()})
        tub.close()
        tub, after = read(folder, True)
        require(after[:index] == before and len(after) == index + 3, "going on changed the records")
        sessions = tub.manifest.manifest_metadata["sessions"]["all_full_ids"]
        require(len(set(sessions)) == len(sessions), f"sessions are named twice: {sessions}")
        require(after[-1]["_session_id"] == sessions[-1], "the new records are of another session")
        print(f"{index} records of {len(sessions) - 1} sessions, and 3 more: all the same")


main()
