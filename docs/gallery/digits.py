"""The network of the gallery: a small perceptron on scikit-learn's digits, and its loss."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

data = load_digits()
inputs, labels = torch.tensor(data.data / 16, dtype=torch.float32)[:500], torch.tensor(data.target)[:500]
batches = [(inputs, labels)]


def loss_fn(model, batch):
    return cross_entropy(model(batch[0]), batch[1], reduction="none")


def trained(
    seed=0, steps=200, optimizer=torch.optim.Adam, rate=0.01, watch=lambda model: lambda: None, batch=batches[0]
):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    updates, seen = optimizer(model.parameters(), lr=rate), watch(model)
    for _ in range(steps):
        updates.zero_grad()
        loss_fn(model, batch).mean().backward()
        updates.step()
        seen()
    return model.eval()
