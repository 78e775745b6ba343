#!/usr/bin/env python3
"""The training step of a recipe's policy in PyTorch on a synthetic batch that stays in memory: the
peer of `argosy bench train --recipe`, with the same output and the same --serve.

  step_torch.py RECIPE [KEY=VALUE...] [--threads N] [--mode eager|compile] [--layout nchw|nhwc]
                [--seconds S] [--started UNIX_S] [--serve | --profile]
"""
import argparse
import os

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("recipe")
parser.add_argument("overrides", nargs="*")
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
parser.add_argument("--layout", choices=["nchw", "nhwc"], default="nchw")
parser.add_argument("--seconds", type=float, default=3)
parser.add_argument("--started", type=float)
parser.add_argument("--serve", action="store_true")
parser.add_argument("--profile", action="store_true", help="PyTorch's own table of ops")
args = parser.parse_intermixed_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)

import torch

import torch_policies as policies
from measuring import measure_steps

torch.set_num_threads(args.threads)
torch.manual_seed(0)
recipe = policies.load_recipe(args.recipe, args.overrides)
model, batch = policies.build(recipe), recipe["training"]["batch_size"]
m = recipe["model"]
images = torch.randint(0, 256, (batch, m["frames"], 3, m["height"], m["width"]), dtype=torch.uint8)
if args.layout == "nhwc":
    model.to(memory_format=torch.channels_last)
    images = images.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
targets = torch.randn(batch, len(recipe["data"]["outputs"]))
trainer = policies.Trainer(recipe, model, args.mode == "compile")


def step():
    return trainer.step(images, targets, 1e-4)


measure_steps(args, step, batch)
