"""Writes what PyTorch computes, for tests/engine/golden_test.cpp; the tests need no PyTorch.

    pip install torch==2.13.0 numpy safetensors
    python tests/goldens/make_goldens.py

Each file holds cases "CASE/NAME": inputs, outputs and gradients of sum(output * weight), where the
weight is stored as well. Images are stored channels-last, as Argosy holds them.
"""

import pathlib

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent
torch.manual_seed(0)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)


def last(x):
    """Channels last: images and convolution weights."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def masked_attention(q, k, v, segments=None, window=0, soft_cap=0.0, scale=None):
    """Causal attention by its formula on q [B, T, H, D], k and v [B, S, G, D]."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = q @ k.mT * (scale or q.shape[-1] ** -0.5)
    if soft_cap:
        scores = soft_cap * torch.tanh(scores / soft_cap)
    t, s = scores.shape[-2:]
    back = torch.arange(s - t, s)[:, None] - torch.arange(s)
    seen = (back >= 0) & (back < (window or s + 1))
    if segments is not None:
        own, other = segments[:, None, :, None], segments[:, None, None, :]
        seen = seen & (own == other) & (own >= 0)
    scores = scores.masked_fill(~seen, float("-inf"))
    weights = torch.where(seen.any(-1, keepdim=True), scores, 0.0).softmax(-1)
    return (torch.where(seen, weights, 0.0) @ v).transpose(1, 2)


class File:
    def __init__(self):
        self.tensors = {}

    def put(self, case, name, value):
        key = f"{case}/{name}"
        assert key not in self.tensors, key
        self.tensors[key] = value.detach().clone().contiguous()

    def case(self, case, function, *inputs, store=lambda x: x):
        """x0, x1, ... -> y, weight, g0, g1, ... (gradients of the real inputs)"""
        inputs = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
        y = function(*inputs)
        for i, x in enumerate(inputs):
            self.put(case, f"x{i}", store(x))
        self.put(case, "y", store(y))
        if y.requires_grad:
            weight = torch.randn_like(y)
            (y * weight).sum().backward()
            self.put(case, "weight", store(weight))
            for i, x in enumerate(inputs):
                if x.grad is not None:
                    self.put(case, f"g{i}", store(x.grad))

    def module(self, case, module, x, rename=lambda n: n, store=lambda x: x, training=True):
        """x -> y, weight, gx, and each parameter p/NAME with its gradient g/NAME"""
        module.train(training)
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.put(case, f"p/{rename(name)}", store(value))
        x = x.clone().requires_grad_(x.is_floating_point())
        y = module(x)
        weight = torch.randn_like(y)
        (y * weight).sum().backward()
        self.put(case, "x", store(x))
        self.put(case, "y", store(y))
        self.put(case, "weight", store(weight))
        if x.grad is not None:
            self.put(case, "gx", store(x.grad))
        for name, parameter in module.named_parameters():
            self.put(case, f"g/{rename(name)}", store(parameter.grad))
        for name, value in module.named_buffers():
            if value.is_floating_point():
                self.put(case, f"after/{rename(name)}", value)

    def write(self, name):
        save_file(self.tensors, FOLDER / f"{name}.safetensors")


def masked_attention_cases(file):
    with torch.random.fork_rng():  # the cases that follow keep their numbers
        for name, heads, groups, t, s, options in [
            ("window", 2, 1, 20, 33, {"window": 9}),
            ("soft_cap", 4, 2, 19, 19, {"soft_cap": 1.5}),
            ("segments", 2, 2, 40, 40, {}),
            ("everything", 4, 2, 75, 75, {"window": 30, "soft_cap": 2.0, "scale": 0.7}),
        ]:
            operands = [torch.randn(2, n, h, 8) for n, h in [(t, heads), (s, groups), (s, groups)]]
            if name in ("segments", "everything"):
                ends = torch.tensor([[t // 3, t - 4], [t // 2, t]])[:, None]
                place = torch.arange(t)[None, :, None]
                number = (place >= ends[:, 0, :1, None]).int() - 2 * (place >= ends[:, 0, 1:, None]).int()
                operands.append(number[..., 0])
            file.case(f"attention_{name}", lambda *x, o=options: masked_attention(*x, **o), *operands)


def ops():
    file = File()
    a, b = torch.randn(3, 7), torch.randn(3, 7)
    positive, other = torch.rand(3, 7) * 3 + 0.2, torch.rand(3, 7) * 2 + 0.3
    for name, function in {
        "negate": torch.neg, "exp": torch.exp, "square": torch.square, "abs": torch.abs,
        "sign": torch.sign, "floor": torch.floor, "sin": torch.sin, "cos": torch.cos,
        "tanh": torch.tanh, "sigmoid": torch.sigmoid, "erf": torch.erf, "relu": F.relu,
        "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu,
        "softplus": F.softplus,
    }.items():
        file.case(name, function, a * 2)
    for name in ["log", "sqrt", "rsqrt", "reciprocal"]:
        file.case(name, getattr(torch, name), positive)
    row = torch.randn(7)
    for name, function in {
        "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "maximum": torch.maximum,
        "minimum": torch.minimum,
    }.items():
        file.case(name, function, a, row)
    tied = torch.tensor([1.0, 2.0, 3.0])
    file.case("maximum_tied", torch.maximum, tied, torch.tensor([1.0, 3.0, 2.0]))
    file.case("divide", torch.div, a, other)
    file.case("power", torch.pow, positive, b)
    file.case("power_at_zero", torch.pow, torch.tensor([0.0, 0.0, 2.0]), torch.tensor([0.0, 2.0, 3.0]))
    file.case("select", torch.where, a > 0, a, b)
    for name, function in {"greater": torch.gt, "greater_equal": torch.ge, "less": torch.lt,
                           "equal": torch.eq}.items():
        file.case(name, function, torch.round(a), torch.round(b))
    x = torch.randn(2, 5, 6)
    file.case("sum", lambda x: x.sum((0, 1), keepdim=True), x)
    file.case("max_reduce", lambda x: x.amax((1, 2), keepdim=True), x)
    file.case("max_reduce_tied", lambda x: x.amax(1, keepdim=True),
              torch.tensor([[1.0, 3, 3, 2], [4, 4, 4, 4]]))
    file.case("argmax", lambda x: x.argmax(2, keepdim=True).int(), x)
    file.case("cumulative_sum", lambda x: x.cumsum(-1), x)
    file.case("transpose", lambda x: x.permute(2, 0, 1), x)
    file.case("slice", lambda x: x[:, 1:4], x)
    file.case("pad", lambda x: F.pad(x, (0, 0, 2, 1)), x)
    file.case("concat", lambda x, y: torch.cat([x, y], 1), x, torch.randn(2, 3, 6))
    file.case("broadcast_to", lambda x: x.expand(4, 3, 7), torch.randn(3, 1))
    file.case("softmax", lambda x: x.softmax(-1), x * 3)
    file.case("top_k", lambda x: x.topk(3)[0], x)
    file.case("sort", lambda x: x.sort(-1)[0], x)
    index = torch.tensor([[4, 0, 4], [1, 2, 4]], dtype=torch.int32)
    file.case("gather", lambda t, i: t[i.long()], torch.randn(5, 3), index)
    for name, ta, tb in [("nn", 0, 0), ("nt", 0, 1), ("tn", 1, 0), ("tt", 1, 1)]:
        p, q = torch.randn(2, 4, 5), torch.randn(2, 5, 3)
        file.case(f"matmul_{name}",
                  lambda x, y, ta=ta, tb=tb: (x.mT if ta else x) @ (y.mT if tb else y),
                  p.mT.contiguous() if ta else p, q.mT.contiguous() if tb else q)
        file.case(f"matmul_shared_{name}",
                  lambda x, y, ta=ta, tb=tb: (x.mT if ta else x) @ (y.mT if tb else y),
                  p.mT.contiguous() if ta else p, q[0].mT.contiguous() if tb else q[0])
    image = torch.randn(2, 4, 7, 9)
    file.case("max_pool", lambda x: F.max_pool2d(x, 3, 2, 1), image, store=last)
    file.case("average_pool", lambda x: F.avg_pool2d(x, 3, 2, 1), image, store=last)
    logits, labels = torch.randn(6, 11), torch.tensor([0, 10, -1, 3, 3, 7], dtype=torch.int32)
    file.case("cross_entropy",
              lambda x, t: F.cross_entropy(x, t.long(), reduction="none", ignore_index=-1),
              logits, labels)
    for name, heads, groups, t, s, causal in [
        ("full", 2, 2, 5, 9, False), ("causal", 4, 4, 7, 7, True), ("grouped", 4, 2, 6, 6, True),
        ("long", 2, 1, 70, 70, True),
    ]:
        q = torch.randn(1, t, heads, 8)
        k, v = torch.randn(1, s, groups, 8), torch.randn(1, s, groups, 8)
        file.case(f"attention_{name}",
                  lambda q, k, v, c=causal: F.scaled_dot_product_attention(
                      q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=c,
                      enable_gqa=True).transpose(1, 2), q, k, v)
    masked_attention_cases(file)
    target = torch.randn(3, 7)
    file.case("mean_squared_error", lambda x: F.mse_loss(x, target), a)
    file.put("mean_squared_error", "target", target)
    for beta in [0.0, 0.5]:
        file.case(f"smooth_l1_{beta}", lambda x, b=beta: F.smooth_l1_loss(x, target, beta=b), a)
    file.case("mean_cross_entropy", lambda x: F.cross_entropy(x, labels.long(), ignore_index=-1),
              logits)
    file.put("mean_cross_entropy", "labels", labels)
    file.write("ops")


class Block(nn.Module):
    """A pre-norm transformer block with separate projections."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        b, t, d = x.shape
        h = self.norm1(x)
        q, k, v = (m(h).view(b, t, self.heads, -1).transpose(1, 2)
                   for m in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Experts(nn.Module):
    """Each token through its most probable experts; every output has the balance loss added."""

    def __init__(self, width, hidden, experts, active):
        super().__init__()
        self.active = active
        self.router = nn.Linear(width, experts, bias=False)
        self.gate = nn.Parameter(torch.randn(experts, width, hidden))
        self.value = nn.Parameter(torch.randn(experts, width, hidden))
        self.output = nn.Parameter(torch.randn(experts, hidden, width))

    def forward(self, x):
        probabilities = self.router(x).softmax(-1)
        gates, chosen = probabilities.topk(self.active)
        y = torch.zeros_like(x)
        for i in range(self.active):
            e = chosen[:, i]
            h = F.gelu(torch.einsum("nd,ndf->nf", x, self.gate[e]))
            h = h * torch.einsum("nd,ndf->nf", x, self.value[e])
            y = y + gates[:, i, None] * torch.einsum("nf,nfd->nd", h, self.output[e])
        experts = probabilities.shape[1]
        share = torch.bincount(chosen.flatten(), minlength=experts) / chosen.numel()
        return y + experts * (share * probabilities.mean(0)).sum()


def slashes(name):
    return name.replace(".", "/")


def block_name(name):
    part, leaf = name.split(".")
    if part in ("query", "key", "value", "output"):
        part = "attention/" + part
    if part in ("up", "down"):
        part = "mlp/" + part
    return f"{part}/{leaf}"


def layers():
    file = File()
    file.module("linear", nn.Linear(5, 3), torch.randn(2, 4, 5))
    file.module("linear_plain", nn.Linear(5, 3, bias=False), torch.randn(4, 5))
    for name, module, size in [
        ("convolution", nn.Conv2d(3, 4, 3), (2, 3, 6, 7)),
        ("convolution_stride", nn.Conv2d(3, 4, 5, stride=2), (1, 3, 9, 11)),
        ("convolution_padding", nn.Conv2d(3, 4, 3, stride=(2, 1), padding=(2, 1)), (2, 3, 6, 7)),
        ("convolution_dilation", nn.Conv2d(2, 3, 3, dilation=(2, 1)), (1, 2, 8, 8)),
        ("convolution_groups", nn.Conv2d(4, 6, 3, groups=2, padding=1), (2, 4, 5, 5)),
        ("convolution_depthwise", nn.Conv2d(4, 4, 3, groups=4, bias=False), (1, 4, 6, 6)),
    ]:
        file.module(name, module, torch.randn(size), store=last)

    def random(module):
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        return module

    image = torch.randn(3, 6, 4, 5) * 2 + 1
    batch = random(nn.BatchNorm2d(6))
    nn.init.normal_(batch.running_mean)
    nn.init.uniform_(batch.running_var, 0.5, 2)
    file.module("batch_norm", batch, image, store=last)
    batch.zero_grad()
    file.module("batch_norm_eval", batch, image, store=last, training=False)
    file.module("group_norm", random(nn.GroupNorm(3, 6)), image, store=last)
    file.module("layer_norm", random(nn.LayerNorm(9)), torch.randn(2, 3, 9) + 1)
    file.module("rms_norm", random(nn.RMSNorm(9, eps=1e-6)), torch.randn(2, 3, 9) + 1)
    file.module("embedding", nn.Embedding(7, 4), torch.tensor([[1, 6, 1], [0, 3, 3]], dtype=torch.int32))
    mlp = nn.Sequential()
    mlp.add_module("up", nn.Linear(6, 12))
    mlp.add_module("gelu", nn.GELU())
    mlp.add_module("down", nn.Linear(12, 6))
    file.module("mlp", mlp, torch.randn(3, 6), rename=slashes)
    file.module("transformer_block", Block(16, 4, 24), torch.randn(2, 6, 16), rename=block_name)
    with torch.random.fork_rng():  # what is drawn afterwards stays as it was
        file.module("mixture_of_experts", Experts(6, 9, 5, 2), torch.randn(12, 6), rename=slashes)
    file.write("layers")


def initializers():
    """Bounds and deviations of a large draw."""
    file = File()
    for name, weight in [("linear", nn.Linear(200, 300).weight), ("linear", nn.Linear(200, 300).bias),
                         ("convolution", nn.Conv2d(16, 64, 5).weight)]:
        kind = "bias" if weight.dim() == 1 else "weight"
        file.put(name, kind, torch.stack([weight.min(), weight.max(), weight.std()]))
    draw = nn.init.xavier_uniform_(torch.empty(300, 200))
    file.put("xavier_uniform", "weight", torch.stack([draw.min(), draw.max(), draw.std()]))
    draw = nn.init.trunc_normal_(torch.empty(300, 200), std=0.5, a=-1.0, b=1.0)
    file.put("truncated_normal", "weight", torch.stack([draw.min(), draw.max(), draw.std()]))
    draw = nn.Embedding(300, 200).weight
    file.put("embedding", "weight", torch.stack([draw.min(), draw.max(), draw.std()]))
    file.write("initializers")


def optimizers():
    """Ten steps of a small model: losses, gradient norms, parameters after each."""
    file = File()
    x, target = torch.randn(8, 5), torch.randn(8, 2)
    for case, make in {
        "adamw": lambda groups: torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.999), eps=1e-8),
        "sgd": lambda groups: torch.optim.SGD(groups, lr=5e-2, momentum=0.9),
    }.items():
        model = nn.Linear(5, 2)
        file.put(case, "p/weight", model.weight)
        file.put(case, "p/bias", model.bias)
        optimizer = make([{"params": [model.weight], "weight_decay": 0.1},
                          {"params": [model.bias], "weight_decay": 0.0}])
        losses, norms = [], []
        for _ in range(10):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), target)
            loss.backward()
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.5))
            optimizer.step()
            losses.append(loss)
        file.put(case, "losses", torch.stack(losses))
        file.put(case, "norms", torch.stack(norms))
        file.put(case, "after/weight", model.weight)
        file.put(case, "after/bias", model.bias)
    file.put("data", "x", x)
    file.put("data", "target", target)
    file.write("optimizers")


if __name__ == "__main__":
    ops()
    layers()
    initializers()
    optimizers()
