"""Loads a data set with LeRobot and compares it, row by row and frame by frame, with what Argosy reads.

Needs the environment of bench/peers/README.md (LeRobot 0.6.1) and a built argosy program:

    python bench/peers/lerobot_check.py --argosy build/release/argosy DATASET [--edit]

Compares all numbers, texts and tasks, the statistics, the mean colour of sampled frames of every
camera (within one grey level), and clips by delta_timestamps at both ends of every episode. --edit
also has LeRobot delete an episode and merge the set with itself, and `argosy data check` judge both.
Ends with exit code 1 and a list if anything differs.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"


def argosy_json(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"argosy {' '.join(arguments)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def numbers(value):
    """A tensor, text or list as a flat list of Python values."""
    if isinstance(value, str):
        return value
    if hasattr(value, "flatten"):
        return value.flatten().tolist()
    return value if isinstance(value, list) else [value]


def same(a, b, tolerance=0.0):
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    if len(a) != len(b):
        return False
    for x, y in zip(a, b):
        x = math.nan if x is None else float(x)
        y = math.nan if y is None else float(y)
        if math.isnan(x) != math.isnan(y):
            return False
        if not math.isnan(x) and abs(x - y) > tolerance + 1e-6 * abs(y):
            return False
    return True


class Comparison:
    def __init__(self, program, folder):
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        self.program, self.folder = program, folder
        self.info = argosy_json(program, "data", "info", folder, "--json", "-")
        self.open = lambda **options: LeRobotDataset("local/" + os.path.basename(folder), root=folder, **options)
        self.set = self.open()
        self.differences = []
        self.compared = {"rows": 0, "frames": 0, "clips": 0}

    def expect(self, holds, text):
        if not holds:
            self.differences.append(text)

    def metadata(self):
        meta = self.set.meta
        self.expect(meta.total_frames == self.info["frames"] == len(self.set), "number of frames")
        self.expect(meta.total_episodes == self.info["episodes"], "number of episodes")
        self.expect(meta.fps == self.info["fps"], "fps")
        self.expect(list(meta.tasks.index) == self.info["tasks"], "tasks")
        for listed, episode in zip(self.info["episode_list"], meta.episodes):
            self.expect(listed["from"] == episode["dataset_from_index"] and listed["to"] == episode["dataset_to_index"],
                        f"rows of episode {listed['index']}")
        self.expect(meta.stats is not None, "statistics")
        for column in self.info["columns"]:
            stats = (meta.stats or {}).get(column["name"])
            if stats is None or "statistics" not in column or len(column["shape"]) > 1:
                continue
            ours = column["statistics"]
            if any(ours["missing"]):
                continue
            for key in ("min", "max", "mean", "std"):
                scale = max(map(abs, ours["max"] + ours["min"]))
                self.expect(same(stats[key].tolist(), ours[key], 1e-5 * scale), f"statistic {key} of {column['name']}")

    def rows(self, sampled):
        ours = argosy_json(self.program, "data", "row", self.folder, *map(str, sampled))
        for row in ours:
            item = self.set[row["row"]]
            where = f"row {row['row']}"
            self.expect(item["task"] == row["task"], f"{where}: task")
            for name, values in row["values"].items():
                self.expect(same(numbers(item[name]), values), f"{where}: {name} is {values}, LeRobot has {numbers(item[name])}")
            for camera, frame in row["cameras"].items():
                mean = (item[camera].mean(dim=(1, 2)) * 255).tolist()
                close = all(abs(a - b) < 1.0 for a, b in zip(mean, frame["mean_rgb"]))
                self.expect(close, f"{where}: {camera} has the mean colour {frame['mean_rgb']}, LeRobot {mean}")
                self.compared["frames"] += 1
            self.compared["rows"] += 1

    def clips(self):
        """Clips that reach over both ends of each episode."""
        step = 1 / self.info["fps"]
        deltas = [-2 * step, 0.0, 2 * step]
        cameras = [c["name"] for c in self.info["cameras"]]
        columns = [c["name"] for c in self.info["columns"] if c["dtype"].startswith("float") and c["name"] != "timestamp"]
        clips = self.open(delta_timestamps={name: deltas for name in cameras + columns[:2]})
        for episode in self.info["episode_list"][:20]:
            first, last = episode["from"], episode["to"] - 1
            for row in {first, last}:
                item = clips[row]
                wanted = [min(max(row + d, first), last) for d in (-2, 0, 2)]
                for name in columns[:2]:
                    singles = [numbers(self.set[at][name]) for at in wanted]
                    self.expect(same(numbers(item[name]), [v for single in singles for v in single]), f"clip at row {row}: {name}")
                for name in cameras:
                    self.expect(tuple(item[name].shape[:1]) == (3,) and item[name].ndim == 4, f"clip at row {row}: shape of {name}")
                self.compared["clips"] += 1

    def edits(self):
        from lerobot.datasets.dataset_tools import delete_episodes, merge_datasets

        with tempfile.TemporaryDirectory() as scratch:
            results = [("merged", merge_datasets([self.set, self.set], output_repo_id="local/merged", output_dir=scratch + "/merged"))]
            # LeRobot's own delete_episodes cannot write columns of two and more dimensions
            flat = all(len(column["shape"]) == 1 for column in self.info["columns"])
            if not flat:
                print("shortened by LeRobot: skipped, there are columns of two dimensions")
            elif self.info["episodes"] > 1:
                results.append(("shortened", delete_episodes(self.set, [0], output_dir=scratch + "/shortened", repo_id="local/shortened")))
            for name, _ in results:
                done = subprocess.run([self.program, "data", "check", f"{scratch}/{name}"], capture_output=True, text=True)
                self.expect(done.returncode == 0, f"LeRobot's {name} set: {done.stdout.strip()} {done.stderr.strip()}")
                print(f"{name} by LeRobot: {done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--argosy", required=True, help="the built program")
    parser.add_argument("--edit", action="store_true", help="let LeRobot edit and merge the set too")
    parser.add_argument("--rows", type=int, default=200, help="rows to compare, spread over the set")
    options = parser.parse_args()
    comparison = Comparison(options.argosy, os.path.abspath(options.folder))
    comparison.metadata()
    total = comparison.info["frames"]
    count = min(options.rows, total)
    ends = {row for e in comparison.info["episode_list"][:50] for row in (e["from"], e["to"] - 1)}
    spread = {round(i * (total - 1) / max(1, count - 1)) for i in range(count)}
    comparison.rows(sorted(ends | spread))
    comparison.clips()
    if options.edit:
        comparison.edits()
    print("compared:", ", ".join(f"{n} {what}" for what, n in comparison.compared.items()))
    for difference in comparison.differences[:20]:
        print("differs:", difference)
    sys.exit(1 if comparison.differences else 0)


if __name__ == "__main__":
    main()
