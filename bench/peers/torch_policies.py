"""The driving policies of src/models in PyTorch, with its default initialisers, and one training
step as a PyTorch user writes it. Shared by driving_torch.py, step_torch.py and the script that makes
tests/goldens/driving_steps.safetensors."""
import ast
import math
import tomllib

import torch
from torch import nn
from torch.nn import functional as F

# The defaults of docs/recipes.md for the keys that a recipe may leave out.
DEFAULTS = {
    "model": dict(name="pilotnet", frames=1, frame_interval_s=0.1, height=64, width=128,
                  normalization="fixed", dropout=0.1, attention_width=128, attention_layers=2,
                  attention_heads=4),
    "data": dict(path="", camera="", outputs=["user/angle", "user/throttle"], crop_top=0,
                 crop_bottom=0, crop_left=0, crop_right=0, holdout_share=0.2),
    "augmentation": dict(mirror=0.0, mirror_negates=["user/angle"], shift=0.0, brightness=0.0,
                         contrast=0.0, noise=0.0),
    "training": dict(steps=0, epochs=10.0, batch_size=64, seed=1, error_limit=0.0),
    "optimizer": dict(name="adamw", learning_rate=1e-3, weight_decay=1e-4, beta1=0.9, beta2=0.999,
                      epsilon=1e-8, momentum=0.9, clip_norm=1.0),
    "schedule": dict(name="cosine", warmup_steps=100, final_share=0.01),
    "average": dict(decay=0.0),
}


def load_recipe(path, overrides=()):
    """Sections as dictionaries, with defaults; overrides are "section.key=value"."""
    recipe = {section: dict(values) for section, values in DEFAULTS.items()}
    with open(path, "rb") as file:
        for section, values in tomllib.load(file).items():
            recipe[section].update(values)
    for override in overrides:
        name, value = override.split("=", 1)
        section, key = name.split(".", 1)
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            pass  # text
        recipe[section][key] = value
    if recipe["optimizer"]["name"] != "adamw" or recipe["model"]["normalization"] != "fixed":
        raise SystemExit("this peer knows adamw and fixed normalization alone")
    return recipe


class Convolutions(nn.Sequential):
    def __init__(self, channels=3):
        layers, self.channels = [], channels
        for out, kernel, stride in ((24, 5, 2), (32, 5, 2), (64, 5, 2), (64, 3, 1), (64, 3, 1)):
            layers += [nn.Conv2d(channels, out, kernel, stride), nn.ReLU()]
            channels = out
        super().__init__(*layers, nn.Flatten())

    def features(self, height, width):
        with torch.no_grad():
            return self(torch.zeros(1, self.channels, height, width)).shape[1]


def normalised(images):
    """uint8 to -1..1."""
    return images.float() * (1 / 127.5) - 1


class PilotNet(nn.Module):
    def __init__(self, model, outputs):
        super().__init__()
        self.convolutions = Convolutions(3 * model["frames"])
        self.hidden1 = nn.Linear(self.convolutions.features(model["height"], model["width"]), 100)
        self.hidden2 = nn.Linear(100, 50)
        self.head = nn.Linear(50, outputs)
        self.dropout = nn.Dropout(model["dropout"])

    def forward(self, images):  # [B, T, 3, H, W], float or uint8
        b, t, c, h, w = images.shape
        # NHWC images give a stack that is NHWC in memory, too, as the convolutions want it
        stacked = images.permute(0, 3, 4, 1, 2).reshape(b, h, w, t * c).permute(0, 3, 1, 2)
        if images.is_contiguous():
            stacked = images.view(b, t * c, h, w)
        x = self.convolutions(normalised(stacked))
        x = self.dropout(F.relu(self.hidden1(x)))
        return self.head(self.dropout(F.relu(self.hidden2(x))))


class Overview(nn.Module):
    def __init__(self, model, outputs):
        super().__init__()
        self.cells = nn.BatchNorm1d(model["frames"] * model["height"] * model["width"])
        self.hidden1 = nn.Linear(self.cells.num_features, 512)
        self.hidden2 = nn.Linear(512, 256)
        self.head = nn.Linear(256, outputs)
        self.dropout = nn.Dropout(model["dropout"])

    def forward(self, images):  # [B, T, 3, H, W], float or uint8
        x = self.cells(normalised(images).mean(2).flatten(1))
        x = self.dropout(F.relu(self.hidden1(x)))
        return self.head(self.dropout(F.relu(self.hidden2(x))))


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d)
        x = x + self.dropout(self.output(y))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class ClipTransformer(nn.Module):
    def __init__(self, model, outputs):
        super().__init__()
        width = model["attention_width"]
        self.frame = Convolutions()
        self.token = nn.Linear(self.frame.features(model["height"], model["width"]), width)
        self.time = nn.Parameter(nn.init.trunc_normal_(torch.empty(model["frames"], width), std=0.02,
                                                       a=-0.04, b=0.04))
        self.blocks = nn.Sequential(*(Block(width, model["attention_heads"], model["dropout"])
                                      for _ in range(model["attention_layers"])))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(model["dropout"])
        self.head = nn.Linear(width, outputs)

    def forward(self, images):  # [B, T, 3, H, W], float or uint8
        b, t = images.shape[:2]
        x = self.token(self.frame(normalised(images.flatten(0, 1)))).view(b, t, -1) + self.time
        return self.head(self.dropout(self.norm(self.blocks(x))[:, -1]))


def build(recipe):
    kind = {"pilotnet": PilotNet, "clip_transformer": ClipTransformer,
            "overview": Overview}[recipe["model"]["name"]]
    return kind(recipe["model"], len(recipe["data"]["outputs"]))


def learning_rate(recipe, step, steps):
    base, schedule = recipe["optimizer"]["learning_rate"], recipe["schedule"]
    if step < schedule["warmup_steps"]:
        return base * (step + 1) / schedule["warmup_steps"]
    if schedule["name"] == "constant":
        return base
    p = min(1.0, (step - schedule["warmup_steps"]) / max(1, steps - 1 - schedule["warmup_steps"]))
    final = schedule["final_share"]
    return base * (final + (1 - final) * (1 + math.cos(math.pi * p)) / 2)


def training_loss(predicted, wanted, error_limit=0.0):
    """Mean square of the error over the values that were recorded; beyond error_limit (0: none) it
    grows only in proportion."""
    recorded = ~torch.isnan(wanted)
    if not bool(recorded.all()):
        predicted, wanted = predicted[recorded], wanted[recorded]
    if error_limit > 0:
        return 2 * F.huber_loss(predicted, wanted, delta=error_limit)
    return F.mse_loss(predicted, wanted)


class Trainer:
    """Model, AdamW, clipping and moving average. step() returns the loss as a number."""

    def __init__(self, recipe, model, compiled=False, fused=True):
        self.recipe, self.model = recipe, model
        self.run = torch.compile(model) if compiled else model
        o = recipe["optimizer"]
        # biases, norms and the table of times are not decayed
        decayed = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
        self.parameters = list(model.parameters())
        groups = [dict(params=[p for p in self.parameters if id(p) in decayed],
                       weight_decay=o["weight_decay"]),
                  dict(params=[p for p in self.parameters if id(p) not in decayed], weight_decay=0.0)]
        self.optimizer = torch.optim.AdamW(groups, lr=o["learning_rate"], betas=(o["beta1"], o["beta2"]),
                                           eps=o["epsilon"], fused=fused)
        self.average = [p.detach().clone() for p in self.parameters]
        self.done = 0

    def step(self, images, wanted, rate):
        loss = training_loss(self.run(images), wanted, self.recipe["training"]["error_limit"])
        loss.backward()
        clip = self.recipe["optimizer"]["clip_norm"]
        self.norm = nn.utils.clip_grad_norm_(self.parameters, clip if clip > 0 else math.inf, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.done += 1
        decay = self.recipe["average"]["decay"]
        if decay > 0:
            keep = min(decay, (1 + self.done) / (10 + self.done))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - keep)
        return loss.item()

    def use_average(self):
        if self.recipe["average"]["decay"] > 0:
            with torch.no_grad():
                for parameter, average in zip(self.parameters, self.average):
                    parameter.copy_(average)
