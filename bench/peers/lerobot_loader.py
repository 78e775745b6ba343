"""LeRobot's loader on a data set: one JSON line per setting.

  HF_HUB_OFFLINE=1 python lerobot_loader.py DATASET [--samples N] [--batch N] [--order shuffled|sequential]
                                            [--workers 0|1|2] [--backend torchcodec|pyav]

Clips are 4 frames at -0.3, -0.2, -0.1 and 0 s as uint8 at stored size, as bench_loader asks for.
CPU time is that of this process and of its workers.
"""
import argparse
import json
import resource
import time

import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def cpu_s(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def measure(dataset, order, workers, batch, samples):
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=batch, shuffle=order == "shuffled", num_workers=workers,
        prefetch_factor=2 if workers else None, drop_last=True)
    # children are counted when they have ended, so their start is part of it; it is small beside N
    own, children, start = cpu_s(resource.RUSAGE_SELF), cpu_s(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = 0
    while done < samples:
        for item in loader:
            done += len(item["index"])
            if done >= samples:
                break
    wall = time.perf_counter() - start
    item = None
    del loader  # ends the workers
    cpu = (cpu_s(resource.RUSAGE_SELF) - own) + (cpu_s(resource.RUSAGE_CHILDREN) - children)
    return {
        "loader": "lerobot", "mode": order, "workers": workers, "samples": done,
        "samples_per_s": round(done / wall, 1), "samples_per_cpu_s": round(done / cpu, 1),
        "frames_per_cpu_s": round(4 * done / cpu, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--order", choices=["shuffled", "sequential"], default="shuffled")
    parser.add_argument("--workers", default="0")
    parser.add_argument("--backend", default=None)
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    options = {"video_backend": given.backend} if given.backend else {}
    camera = LeRobotDataset("bench", root=given.dataset).meta.camera_keys[0]
    dataset = LeRobotDataset("bench", root=given.dataset, return_uint8=True,
                             delta_timestamps={camera: [-0.3, -0.2, -0.1, 0.0]}, **options)
    for workers in map(int, given.workers.split(",")):
        # A decoder opened before the workers are forked is shared by them, and decoding then fails.
        if workers == 0:
            dataset[0]
        print(json.dumps(measure(dataset, given.order, workers, given.batch, given.samples)), flush=True)


main()
