#!/usr/bin/env python3
"""Trains a recipe's driving policy with PyTorch, on the data set and the split that Argosy uses, and
measures it on the held-out episodes.

  driving_torch.py --recipe recipes/drive.toml --data out/drives [--threads 2] [--mode eager|compile]
                   [--layout nchw|nhwc] [--seed 1] [KEY=VALUE...]

Same as `argosy train`: network, initialisers, split, crop and resize, augmentation, loss (squared
error in deviations), AdamW, schedule, clipping, moving average, batch size and number of samples.
Different: all frames are decoded into memory before training (not counted as training), and the
random numbers. Prints one line of JSON.
"""
import argparse
import glob
import json
import os
import sys
import time

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("--recipe", required=True)
parser.add_argument("--data", required=True)
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
parser.add_argument("--layout", choices=["nchw", "nhwc"], default="nhwc")
parser.add_argument("--seed", type=int)
parser.add_argument("--started", type=float, help="time.time() when the caller started this")
parser.add_argument("overrides", nargs="*")
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import measuring
import torch_policies as policies

torch.set_num_threads(args.threads)


def area_weights(pixels, cells):
    """[cells, pixels]: the share that each pixel has in the mean over a cell's area."""
    if cells > pixels:
        sys.exit("this peer only shrinks pictures")
    edges = torch.arange(cells + 1) * (pixels / cells)
    pixel = torch.arange(pixels)
    overlap = torch.minimum(edges[1:, None], pixel + 1.0) - torch.maximum(edges[:-1, None], pixel.float())
    return overlap.clamp(min=0) * (cells / pixels)


class Data:
    """A LeRobot v3 data set in memory: frames uint8 [rows, H, W, 3], targets f32 [rows, outputs]."""

    def __init__(self, folder, recipe):
        self.folder = folder
        self.info = json.load(open(f"{folder}/meta/info.json"))
        self.fps = self.info["fps"]
        features = self.info["features"]
        cameras = [name for name, f in features.items() if f["dtype"] == "video"]
        self.camera = recipe["data"]["camera"] or cameras[0]
        episodes = self.table("meta/episodes", None)
        self.episodes = episodes.to_pylist()
        self.targets = self.columns(self.table("data", None), features, recipe["data"]["outputs"])
        self.frames = self.decode(recipe)
        self.training, self.held_out = self.split(recipe["data"]["holdout_share"])

    def table(self, part, columns):
        files = sorted(glob.glob(f"{self.folder}/{part}/**/*.parquet", recursive=True))
        return pa.concat_tables([pq.read_table(f, columns=columns) for f in files])

    @staticmethod
    def columns(table, features, outputs):
        found = []
        for output in outputs:
            for name, feature in features.items():
                names = feature.get("names") or []
                if name == output or output in names:
                    column = np.stack(table[name].to_numpy()) if feature["shape"] != [1] else \
                        table[name].to_numpy()[:, None]
                    found.append(column[:, names.index(output) if output in names else 0])
                    break
            else:
                sys.exit(f"{output} is not in the data set")
        return torch.from_numpy(np.stack(found, 1).astype(np.float32))

    def decode(self, recipe):
        d, m = recipe["data"], recipe["model"]
        frames = torch.empty(self.info["total_frames"], m["height"], m["width"], 3, dtype=torch.uint8)
        files = {}
        for episode in self.episodes:
            prefix = f"videos/{self.camera}/"
            key = episode[prefix + "chunk_index"], episode[prefix + "file_index"]
            files.setdefault(key, []).append(
                (round(episode[prefix + "from_timestamp"] * self.fps), episode["dataset_from_index"],
                 episode["dataset_to_index"]))
        for (chunk, number), parts in files.items():
            path = self.info["video_path"].format(video_key=self.camera, chunk_index=chunk, file_index=number)
            row_of = {first + i: row for first, begin, end in parts for i, row in enumerate(range(begin, end))}
            with av.open(f"{self.folder}/{path}") as video:
                for index, frame in enumerate(video.decode(video=0)):
                    if index not in row_of:
                        continue
                    image = torch.from_numpy(frame.to_ndarray(format="rgb24"))
                    image = image[d["crop_top"]:image.shape[0] - d["crop_bottom"],
                                  d["crop_left"]:image.shape[1] - d["crop_right"]]
                    if image.shape[:2] != (m["height"], m["width"]):
                        image = torch.einsum("hy,yxc,wx->hwc", area_weights(image.shape[0], m["height"]),
                                             image.float(), area_weights(image.shape[1], m["width"]))
                        image = image.round().clamp(0, 255)
                    frames[row_of[index]] = image.to(torch.uint8)
        return frames

    def split(self, share):
        """src/data/split.h: of each source its last episodes, as near to `share` of its frames as
        can be, at least one and never all."""
        sources, training, held_out = {}, [], []
        for episode in self.episodes:
            sources.setdefault(episode["source"], []).append(episode)
        for members in sources.values():
            members.sort(key=lambda e: e["episode_index"])
            count = 0
            if share > 0 and len(members) > 1:
                wanted, frames, best = share * sum(e["length"] for e in members), 0, None
                for n in range(1, len(members)):
                    frames += members[-n]["length"]
                    if best is None or abs(frames - wanted) < best:
                        best, count = abs(frames - wanted), n
            training += members[:len(members) - count]
            held_out += members[len(members) - count:]
        by_index = lambda e: e["episode_index"]
        return sorted(training, key=by_index), sorted(held_out, key=by_index)

    @staticmethod
    def rows(episodes):
        return torch.cat([torch.arange(e["dataset_from_index"], e["dataset_to_index"]) for e in episodes])

    def clip_rows(self, recipe):
        """[rows, T]: which rows a row's clip shows, kept inside its episode."""
        m = recipe["model"]
        back = torch.tensor([round(t * m["frame_interval_s"] * self.fps)
                             for t in range(m["frames"] - 1, -1, -1)])
        first = torch.empty(len(self.targets), dtype=torch.long)
        for e in self.episodes:
            first[e["dataset_from_index"]:e["dataset_to_index"]] = e["dataset_from_index"]
        return torch.maximum(torch.arange(len(first))[:, None] - back, first[:, None])


class Augmentation:
    def __init__(self, recipe, generator):
        a = self.options = recipe["augmentation"]
        self.generator = generator
        self.active = any(a[k] > 0 for k in ("mirror", "shift", "brightness", "contrast", "noise"))
        self.signs = torch.tensor([-1.0 if o in a["mirror_negates"] else 1.0
                                   for o in recipe["data"]["outputs"]])

    def __call__(self, frames, rows, targets):
        """frames [N, H, W, 3], rows [B, T]; returns clips [B, T, H, W, 3], float in 0..255, and the
        targets. The same changes to all frames of a clip."""
        clips = rows.shape
        if not self.active:
            return frames[rows.flatten()].view(*clips, *frames.shape[1:]), targets
        a, g, b = self.options, self.generator, clips[0]
        height, width = frames.shape[1:3]
        random = lambda limit: (torch.rand(b, generator=g) * 2 - 1) * limit
        mirror = torch.rand(b, generator=g) < a["mirror"]
        shift_x, shift_y = (random(a["shift"]) * width).round().long(), (random(a["shift"]) * height).round().long()
        contrast, brightness = 1 + random(a["contrast"]), 255 * random(a["brightness"])
        x = (torch.arange(width) - shift_x[:, None]).clamp(0, width - 1)
        x = torch.where(mirror[:, None], width - 1 - x, x)
        y = (torch.arange(height) - shift_y[:, None]).clamp(0, height - 1)
        # one gather of whole pixels
        places = (rows[:, :, None, None] * height + y[:, None, :, None]) * width + x[:, None, None, :]
        images = frames.view(-1, 3)[places.flatten()].view(*clips, height, width, 3).float()
        shaped = lambda v: v.view(b, 1, 1, 1, 1)
        images.sub_(128).mul_(shaped(contrast)).add_(shaped(brightness + 128))
        if a["noise"] > 0:
            images.add_(torch.randn(images.shape, generator=g), alpha=a["noise"])
        images.clamp_(0, 255)
        signs = torch.where(mirror[:, None], self.signs, torch.ones_like(self.signs))
        return images, targets * signs


def scores(recorded, predicted):
    recorded, predicted = recorded.double(), predicted.double()
    known = ~torch.isnan(recorded)
    recorded, predicted = recorded[known], predicted[known]
    error, centred, moved = predicted - recorded, recorded - recorded.mean(), predicted - predicted.mean()
    both = (centred.square().sum() * moved.square().sum()).sqrt()
    return dict(samples=len(recorded), mae=error.abs().mean().item(), rmse=error.square().mean().sqrt().item(),
                r2=1 - (error.square().sum() / centred.square().sum()).item(),
                correlation=((centred * moved).sum() / both).item() if moved.abs().max() > 1e-6 else None)


def main():
    recipe = policies.load_recipe(args.recipe, args.overrides)
    if args.seed is not None:
        recipe["training"]["seed"] = args.seed
    begin = time.perf_counter()
    data = Data(args.data, recipe)
    loading_s = time.perf_counter() - begin
    torch.manual_seed(recipe["training"]["seed"])
    generator = torch.Generator().manual_seed(recipe["training"]["seed"])
    model = policies.build(recipe)
    if args.layout == "nhwc":
        model.to(memory_format=torch.channels_last)
    trainer = policies.Trainer(recipe, model, args.mode == "compile")
    augment = Augmentation(recipe, generator)
    clip_rows = data.clip_rows(recipe)
    training = data.rows(data.training)
    known = data.targets[training].double()
    mean = known.nanmean(0)
    deviation = (known.square().nanmean(0) - mean.square()).clamp(min=0).sqrt()
    deviation = torch.where(deviation > 1e-6, deviation, 1.0).float()
    mean = mean.float()

    def prepared(clips):
        """[B, T, H, W, 3] seen as [B, T, 3, H, W], in the memory order asked for."""
        clips = clips.permute(0, 1, 4, 2, 3)
        return clips if args.layout == "nhwc" else clips.contiguous()

    batch = recipe["training"]["batch_size"]
    per_epoch = len(training) // batch
    steps = recipe["training"]["steps"] or max(1, int(np.ceil(recipe["training"]["epochs"] * per_epoch)))
    model.train()
    preparing_s = first_step_s = 0.0
    loop = time.perf_counter()
    for step in range(steps):
        began = time.perf_counter()
        if step % per_epoch == 0:
            order = training[torch.randperm(len(training), generator=generator)]
        rows = order[step % per_epoch * batch:(step % per_epoch + 1) * batch]
        clips, targets = augment(data.frames, clip_rows[rows], data.targets[rows])
        clips = prepared(clips)
        preparing_s += time.perf_counter() - began
        loss = trainer.step(clips, (targets - mean) / deviation, policies.learning_rate(recipe, step, steps))
        if step == 0:
            first_step_s = measuring.seconds_since_start(args.started)
            second = time.perf_counter()
    end = time.perf_counter()

    trainer.use_average()
    model.eval()
    held_out = data.rows(data.held_out)
    with torch.no_grad():
        predicted = torch.cat([
            model(prepared(data.frames[clip_rows[rows].flatten()].view(*clip_rows[rows].shape, *data.frames.shape[1:])))
            for rows in held_out.split(64)]) * deviation + mean
    recorded = data.targets[held_out]
    constant = known.nanmean(0).float().expand_as(recorded)
    print(json.dumps(dict(
        torch=torch.__version__, mode=args.mode, layout=args.layout, threads=args.threads,
        seed=recipe["training"]["seed"], steps=steps, samples=steps * batch, loss=loss,
        training_episodes=len(data.training), held_out_episodes=len(data.held_out),
        training_frames=len(training), held_out_frames=len(held_out),
        outputs={name: dict(**scores(recorded[:, i], predicted[:, i]),
                            constant=scores(recorded[:, i], constant[:, i]))
                 for i, name in enumerate(recipe["data"]["outputs"])},
        loading_s=loading_s, training_s=end - loop, preparing_s=preparing_s,
        start_to_first_step_s=first_step_s, samples_per_s=(steps - 1) * batch / max(1e-9, end - second),
        peak_rss_mb=measuring.peak_rss_mb())))


main()
