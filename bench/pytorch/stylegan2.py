"""Training steps of StyleGAN2 on PyTorch, eager and in f32: the peer of bench/stylegan2.ts.

    stylegan2.py CONFIG    CONFIG is JSON: size, channels by resolution, wDim, mappingLayers, mbstdGroup, batch,
                           r1Every, pathLengthEvery, steps

Reads lines from the standard input. For each it makes `steps` steps, and prints how many seconds they took: of the
main phases, R1 in every r1Every-th and path lengths in every pathLengthEvery-th, style mixing, fresh noise, two Adam
optimisers and the average of the generator. The first line that it prints says which PyTorch and device that is.
"""

import copy
import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

TAPS = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
ROOT2 = math.sqrt(2)


def activate(x):
    return F.leaky_relu(x, 0.2) * ROOT2


def blur(x, pad, gain=1.0, down=1):
    kernel = (TAPS * gain).to(x.device).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (pad[0], pad[1]) * 2), kernel, stride=down, groups=x.shape[1])


def double(x):
    """Twice as large an image: zeros between, and the filter."""
    kernel = (TAPS * 4).to(x.device).expand(x.shape[1], 1, 4, 4)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


class Dense(nn.Module):
    def __init__(self, inputs, outputs, bias=0.0, rate=1.0, activated=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full([outputs], bias))
        self.scale, self.rate, self.activated = rate / math.sqrt(inputs), rate, activated

    def forward(self, x):
        y = F.linear(x, self.weight * self.scale, self.bias * self.rate)
        return activate(y) if self.activated else y


class Conv(nn.Module):
    def __init__(self, inputs, outputs, kernel, down=False, activated=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activated else None
        self.scale, self.kernel, self.down = 1 / math.sqrt(inputs * kernel * kernel), kernel, down

    def forward(self, x):
        if self.down:
            # A 1x1 kernel needs only the pixels that it reads.
            x = blur(x, (2, 2)) if self.kernel == 3 else blur(x, (1, 1), down=2)
        stride = 2 if self.down and self.kernel == 3 else 1
        y = F.conv2d(x, self.weight * self.scale, stride=stride, padding=0 if self.down else self.kernel // 2)
        return y if self.bias is None else activate(y + self.bias[:, None, None])


class Modulated(nn.Module):
    """Convolution with styles, which scale the activations before it and after it: less work than weights a sample."""

    def __init__(self, inputs, outputs, w, kernel=3, up=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.style = Dense(w, inputs, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros([]))
        self.scale, self.up, self.is_rgb = 1 / math.sqrt(inputs * kernel * kernel), up, kernel == 1

    def forward(self, x, w):
        style, weight = self.style(w), self.weight * self.scale
        y = x * style[:, :, None, None]
        if self.up:
            y = blur(F.conv_transpose2d(y, weight.transpose(0, 1), stride=2), (1, 1), gain=4)
        else:
            y = F.conv2d(y, weight, padding=weight.shape[2] // 2)
        if self.is_rgb:
            return y + self.bias[:, None, None]
        y = y * torch.rsqrt(style.square() @ weight.square().sum([2, 3]).t() + 1e-8)[:, :, None, None]
        noise = torch.randn(len(y), 1, *y.shape[2:], device=y.device)
        return activate(y + noise * self.strength + self.bias[:, None, None])


class Generator(nn.Module):
    def __init__(self, channels, w, layers):
        super().__init__()
        self.mapping = nn.Sequential(*[Dense(w, w, rate=0.01, activated=True) for _ in range(layers)])
        self.const = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        pairs = list(zip(channels, channels[1:]))
        self.first, self.first_rgb = Modulated(channels[0], channels[0], w), Modulated(channels[0], 3, w, kernel=1)
        self.ups = nn.ModuleList([Modulated(a, b, w, up=True) for a, b in pairs])
        self.convs = nn.ModuleList([Modulated(b, b, w) for _, b in pairs])
        self.rgbs = nn.ModuleList([Modulated(b, 3, w, kernel=1) for _, b in pairs])
        self.latents = 2 * len(channels)

    def styles(self, count, device):
        """W+ [B, n, D] of two styles each, mixed in nine of ten calls."""
        z = torch.randn(2 * count, self.mapping[0].weight.shape[1], device=device)
        first, second = self.mapping(z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)).split(count)
        cut = int(torch.randint(1, self.latents, [])) if torch.rand([]) < 0.9 else self.latents
        rows = [first] * cut + [second] * (self.latents - cut)
        return torch.stack(rows, 1)

    def forward(self, w):
        x = self.first(self.const.expand(len(w), -1, -1, -1), w[:, 0])
        image = self.first_rgb(x, w[:, 1])
        for i, (up, conv, rgb) in enumerate(zip(self.ups, self.convs, self.rgbs)):
            x = conv(up(x, w[:, 2 * i + 1]), w[:, 2 * i + 2])
            image = double(image) + rgb(x, w[:, 2 * i + 3])
        return image


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first, self.second = Conv(inputs, inputs, 3), Conv(inputs, outputs, 3, down=True)
        self.skip = Conv(inputs, outputs, 1, down=True, activated=False)

    def forward(self, x):
        return (self.second(self.first(x)) + self.skip(x)) / ROOT2


class Discriminator(nn.Module):
    def __init__(self, channels, group):
        super().__init__()
        down = channels[::-1]
        self.trunk = nn.Sequential(Conv(3, down[0], 1), *[Block(a, b) for a, b in zip(down, down[1:])])
        self.group, last = group, channels[0]
        self.conv = Conv(last + 1, last, 3)
        self.dense = nn.Sequential(Dense(16 * last, last, activated=True), Dense(last, 1))

    def forward(self, images):
        x = self.trunk(images)
        group = min(self.group, len(x))
        deviation = (x.reshape(group, -1, *x.shape[1:]).var(0, unbiased=False) + 1e-8).sqrt().mean([1, 2, 3])
        channel = deviation.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return self.dense(self.conv(torch.cat([x, channel], 1)).flatten(1))


def adam(network, every):
    """Adam with the correction of lazy regularisation."""
    c = every / (every + 1) if every > 0 else 1
    return torch.optim.Adam(network.parameters(), lr=0.0025 * c, betas=(0, 0.99**c), eps=1e-8)


class Training:
    def __init__(self, config, device):
        self.config, self.device, self.step = config, device, 0
        channels = [width for _, width in sorted((int(r), width) for r, width in config['channels'].items())]
        self.g = Generator(channels, config['wDim'], config['mappingLayers']).to(device)
        self.d = Discriminator(channels, config['mbstdGroup']).to(device)
        self.average = copy.deepcopy(self.g).requires_grad_(False)
        self.of_g, self.of_d = adam(self.g, config['pathLengthEvery']), adam(self.d, config['r1Every'])
        self.real = torch.rand(config['batch'], 3, config['size'], config['size'], device=device) * 2 - 1
        self.length = torch.zeros([], device=device)

    def update(self, optimizer, loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def make_step(self):
        g, d, config, batch, device = self.g, self.d, self.config, self.config['batch'], self.device
        due = lambda every: every > 0 and self.step % every == 0
        with torch.no_grad():
            fake = g(g.styles(batch, device))
        self.update(self.of_d, F.softplus(-d(self.real)).mean() + F.softplus(d(fake)).mean())
        if due(config['r1Every']):
            x = self.real.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
            self.update(self.of_d, gradient.square().sum([1, 2, 3]).mean() * config['r1Every'] / 2)
        d.requires_grad_(False)
        self.update(self.of_g, F.softplus(-d(g(g.styles(batch, device)))).mean())
        d.requires_grad_(True)
        if due(config['pathLengthEvery']):
            w = g.styles(max(1, batch // 2), device)
            images = g(w)
            projected = (images * torch.randn_like(images)).sum() / config['size']
            (jacobian,) = torch.autograd.grad(projected, w, create_graph=True)
            lengths = jacobian.square().sum(2).mean(1).sqrt()
            mean = self.length.lerp(lengths.mean(), 0.01)
            self.length = mean.detach()
            self.update(self.of_g, (lengths - mean).square().mean() * 2 * config['pathLengthEvery'])
        with torch.no_grad():
            for average, parameter in zip(self.average.parameters(), g.parameters()):
                average.lerp_(parameter, 0.001)
        self.step += 1


def main():
    config = json.loads(sys.argv[1])
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.set_num_threads(os.cpu_count())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = torch.cuda.get_device_name() if device == 'cuda' else f'{torch.get_num_threads()} threads'
    training = Training(config, device)
    print(f'PyTorch {torch.__version__}, {name}', flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        for _ in range(config['steps']):
            training.make_step()
        if device == 'cuda':
            torch.cuda.synchronize()
        print(time.perf_counter() - began, flush=True)


if __name__ == '__main__':
    main()
