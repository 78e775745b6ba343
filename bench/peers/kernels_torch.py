#!/usr/bin/env python3
"""How long PyTorch takes for the cases of bench/kernels/bench_kernels.cpp, with the same output.

  kernels_torch.py [TEXT...] [--threads N] [--seconds S]
"""
import argparse
import json
import os

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("texts", nargs="*")
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--seconds", type=float, default=1)
args = parser.parse_intermixed_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)

import torch
import torch.nn.functional as F

from measuring import measure

torch.set_num_threads(args.threads)
torch.manual_seed(0)

# name: batch, queries and keys, heads, groups, width, options
ATTENTIONS = {
    "gpt": (16, 256, 6, 6, 64, dict(causal=True)),
    "long": (1, 8192, 8, 8, 64, dict(causal=True)),
    "grok": (8, 256, 8, 2, 32, dict(causal=True, soft_cap=30)),
    "grouped": (8, 256, 8, 2, 32, dict(causal=True)),
    "window": (1, 8192, 8, 8, 64, dict(causal=True, window=512)),
    "full": (4, 1024, 8, 8, 64, dict()),
    "clip": (32, 4, 4, 4, 32, dict()),
}


def by_formula(q, k, v, seen, soft_cap):
    """What scaled_dot_product_attention cannot: scores bent by a soft cap."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = soft_cap * torch.tanh(q @ k.mT * (q.shape[-1] ** -0.5 / soft_cap))
    return scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v


def attention(b, t, h, g, d, options, backward):
    """A function to measure, and its flops (of keys that are seen) and bytes."""
    operands = [torch.randn(b, t, n, d).requires_grad_(backward) for n in (h, g, g)]
    dy = torch.randn(b, h, t, d)
    window, soft_cap, causal = options.get("window"), options.get("soft_cap"), "causal" in options
    back = torch.arange(t)[:, None] - torch.arange(t)
    seen = ((back >= 0) if causal else torch.ones_like(back, dtype=torch.bool)) & (back < (window or t))

    def run():
        q, k, v = (x.transpose(1, 2) for x in operands)
        if soft_cap:
            y = by_formula(q, k, v, seen, soft_cap)
        elif window:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=g != h)
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=g != h)
        if backward:
            torch.autograd.grad(y, operands, dy)

    each = 2 * 4 * b * t * d * (h + g)  # q, k, v, y once; the gradient reads them and writes as much
    row = 4 * b * h * t  # the log-sum-exp
    return (run, seen.sum().item() * (14 if backward else 4) * b * h * d,
            each + row + (each + 4 * b * t * d * 2 * h + row if backward else 0))


def parameters():
    """Those of a small GPT, with gradients."""
    shapes = [(8192, 384)] + [(1152, 384), (384, 384), (1536, 384), (384, 1536), (384,)] * 6
    made = [torch.randn(shape, requires_grad=True) for shape in shapes]
    for parameter in made:
        parameter.grad = torch.randn(parameter.shape)
    return made


def adamw():
    made = parameters()
    optimizer = torch.optim.AdamW(made, lr=1e-4, fused=True)
    n = sum(parameter.numel() for parameter in made)
    return optimizer.step, 12 * n, 28 * n


def gradient_norm():
    grads = [parameter.grad for parameter in parameters()]
    n = sum(grad.numel() for grad in grads)
    return lambda: torch.nn.utils.get_total_norm(grads), 2 * n, 4 * n


def cases():
    yield "adamw/f32", adamw
    yield "gradient_norm", gradient_norm
    for name, sizes in ATTENTIONS.items():
        for backward in (False, True):
            yield (f"attention/{name}/forward{'+backward' if backward else ''}",
                   lambda s=sizes, w=backward: attention(*s, w))


for case, make in cases():
    if args.texts and not any(text in case for text in args.texts):
        continue
    function, flops, moved = make()
    function()
    _, seconds, cpu_s = measure(function, args.seconds)
    print(json.dumps({"case": case, "program": "torch " + torch.__version__, "threads": args.threads,
                      "ms": round(1e3 * seconds, 3), "cpu_ms": round(1e3 * cpu_s, 3),
                      "gflops": round(flops / seconds / 1e9, 1), "gb_s": round(moved / seconds / 1e9, 1)}), flush=True)
