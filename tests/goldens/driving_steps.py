#!/usr/bin/env python3
"""Makes driving_steps.safetensors: what PyTorch gives in ten training steps of the driving policies,
for tests/train/equivalence_test.cpp.

  pip install torch==2.13.0 numpy safetensors
  python tests/goldens/driving_steps.py

Weights, images and targets are written by a rule that both sides follow, so the file holds only
results and stays small. The rule for a tensor called NAME, element i in Argosy's order:

  offset + scale * (2 * unit(splitmix64(fnv1a(NAME) + i)) - 1),  unit = the top 24 bits / 2^24

Argosy's order: images and convolution weights have their channels last, [B, T, H, W, 3] and
[O, KH, KW, I]; features are flattened in the order [H, W, C]; query, key and value are apart.
Clipping is at work, the learning rate rises and falls, the average leans on the early steps, one
target is missing.
"""
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "bench/peers"))
import torch_policies as policies
from named_numbers import drawn

STEPS, BATCH, BATCHES = 10, 8, 3
CASES = {
    "pilotnet": dict(model=dict(name="pilotnet", frames=2, height=64, width=72)),
    "overview": dict(model=dict(name="overview", frames=2, height=16, width=20)),
    "clip_transformer": dict(model=dict(name="clip_transformer", frames=3, height=61, width=64,
                                        attention_width=32, attention_layers=2, attention_heads=4)),
}


def recipe_of(case):
    recipe = {section: dict(values) for section, values in policies.DEFAULTS.items()}
    recipe["model"].update(CASES[case]["model"], dropout=0.0)
    recipe["training"].update(steps=STEPS, batch_size=BATCH, error_limit=1.5)
    recipe["optimizer"].update(learning_rate=2e-3, weight_decay=0.05, clip_norm=0.5,
                               epsilon=1e-4)  # no noise where a gradient is nearly zero
    recipe["schedule"].update(warmup_steps=3)
    recipe["average"].update(decay=0.9)
    return recipe


def images(batch, model):
    shape = BATCH, model["frames"], model["height"], model["width"], 3
    noise = drawn(f"images/{batch}", int(np.prod(shape))).reshape(shape)
    return np.floor(noise * 128 + 128).astype(np.uint8)


def targets(batch):
    values = drawn(f"target/{batch}", BATCH * 2).reshape(BATCH, 2).astype(np.float32)
    if batch == 1:
        values[3, 1] = np.nan
    return values


class Names:
    """Argosy's parameters in PyTorch's modules: (Argosy's name, parameter, to Argosy's order and
    back). The three parts of qkv are slices of one parameter."""

    def __init__(self, model, recipe):
        self.rows = []
        if isinstance(model, policies.Overview):
            self.overview(model)
            return
        clip = isinstance(model, policies.ClipTransformer)
        frame = "policy/frame" if clip else "policy"
        convolutions = (model.frame if clip else model.convolutions)
        for i in range(5):
            layer = convolutions[2 * i]
            self.add(f"{frame}/conv{i + 1}/weight", layer.weight, lambda t: t.permute(0, 2, 3, 1),
                     lambda t: t.permute(0, 3, 1, 2))
            self.add(f"{frame}/conv{i + 1}/bias", layer.bias)
        with torch.no_grad():
            x = torch.zeros(1, convolutions.channels, recipe["model"]["height"], recipe["model"]["width"])
            for layer in list(convolutions)[:-1]:
                x = layer(x.to(next(model.parameters()).dtype))
            h, w = x.shape[2:]
        first = model.token if clip else model.hidden1
        prefix = "policy/token" if clip else "policy/hidden1"
        self.add(f"{prefix}/weight", first.weight,
                 lambda t: t.view(-1, 64, h, w).permute(0, 2, 3, 1).flatten(1),
                 lambda t: t.view(-1, h, w, 64).permute(0, 3, 1, 2).flatten(1))
        self.add(f"{prefix}/bias", first.bias)
        if clip:
            self.add("policy/time", model.time)
            for n, block in enumerate(model.blocks):
                at = f"policy/block{n}"
                for norm in ("norm1", "norm2"):
                    self.linear(f"{at}/{norm}", getattr(block, norm))
                width = block.output.in_features
                for part, name in enumerate(("query", "key", "value")):
                    rows = slice(part * width, (part + 1) * width)
                    self.add(f"{at}/attention/{name}/weight", block.qkv.weight, rows=rows)
                    self.add(f"{at}/attention/{name}/bias", block.qkv.bias, rows=rows)
                self.linear(f"{at}/attention/output", block.output)
                self.linear(f"{at}/mlp/up", block.up)
                self.linear(f"{at}/mlp/down", block.down)
            self.linear("policy/norm", model.norm)
        else:
            self.linear("policy/hidden2", model.hidden2)
        self.linear("policy/head", model.head)

    def overview(self, model):
        for name, layer in (("cells", model.cells), ("hidden1", model.hidden1),
                            ("hidden2", model.hidden2), ("head", model.head)):
            self.linear(f"policy/{name}", layer)

    def linear(self, name, layer):
        self.add(f"{name}/weight", layer.weight)
        self.add(f"{name}/bias", layer.bias)

    def add(self, name, parameter, there=lambda t: t, back=lambda t: t, rows=slice(None)):
        self.rows.append((name, parameter, there, back, rows))


def rule(name, parameter):
    """offset and scale of a tensor's initial values."""
    if "norm" in name or "cells" in name:
        return (1.0, 0.1) if name.endswith("weight") else (0.0, 0.1)
    if name.endswith("weight"):
        return 0.0, float(np.float32(1.7 / np.sqrt(parameter[0].numel())))
    return 0.0, 0.0625


def run(case, dtype):
    recipe = recipe_of(case)
    model = policies.build(recipe).to(dtype)
    names = Names(model, recipe)
    results = {}
    with torch.no_grad():
        for name, parameter, there, back, rows in names.rows:
            offset, scale = rule(name, parameter)
            shape = there(parameter[rows]).shape
            values = torch.from_numpy((offset + scale * drawn(name, int(np.prod(shape)))).astype(np.float32))
            parameter[rows] = back(values.reshape(shape).to(dtype))
            results[f"{case}/rule/{name}"] = np.array([offset, scale], np.float32)
    trainer = policies.Trainer(recipe, model, fused=False)
    average_of = {id(p): a for p, a in zip(trainer.parameters, trainer.average)}
    losses, norms, rates = [], [], []
    policies.normalised = lambda x: x.to(dtype) * (1 / 127.5) - 1
    for step in range(STEPS):
        x = torch.from_numpy(images(step % BATCHES, recipe["model"])).permute(0, 1, 4, 2, 3)
        y = torch.from_numpy(targets(step % BATCHES)).to(dtype)
        rates.append(policies.learning_rate(recipe, step, STEPS))
        losses.append(trainer.step(x, (y - 0.25) / 0.5, rates[-1]))
        norms.append(trainer.norm.item())
    f32 = lambda values: np.array(values, np.float32)
    results |= {f"{case}/losses": f32(losses), f"{case}/gradient_norms": f32(norms),
                f"{case}/learning_rates": f32(rates)}
    # Of each tensor its largest difference from the start would say little: a weighted sum sees
    # every element and its place.
    for name, parameter, there, back, rows in names.rows:
        for kind, tensor in (("final", parameter.detach()), ("average", average_of[id(parameter)])):
            values = there(tensor[rows]).flatten().double().numpy()
            weights = drawn("probe/" + name, len(values))
            results[f"{case}/{kind}/{name}"] = f32([values @ weights, np.abs(values).sum()])
    for name, buffer in model.named_buffers():
        if "running" in name:
            values, name = buffer.double().numpy(), "policy/" + name.replace(".", "/")
            results[f"{case}/final/{name}"] = f32([values @ drawn("probe/" + name, len(values)),
                                                   np.abs(values).sum()])
    return results


if __name__ == "__main__":
    torch.manual_seed(0)
    exact, single = {}, {}
    for case in CASES:
        exact |= run(case, torch.float64)
        single |= run(case, torch.float32)
    worst = max(np.max(np.abs(exact[k] - single[k]) / (np.abs(exact[k]) + 1e-3)) for k in exact
                if k.endswith(("losses", "norms")))
    print(f"float32 differs from float64 by {worst:.1e} at most in losses and gradient norms")
    for case in CASES:
        print(case, "losses", " ".join(f"{x:.6f}" for x in exact[f"{case}/losses"]))
    # float64 is the truth; float32 is as far from it as another order of sums may go
    save_file(exact, HERE / "driving_steps.safetensors", {"torch": torch.__version__})
