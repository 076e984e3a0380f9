"""Your own model and data set: a class is forgotten, and the result is compared with three oracles."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import cu_core as cu


class Digits(torch.utils.data.Dataset):
    """8 x 8 images of handwritten digits: (uint8 (1, 8, 8), label)."""

    classes = tuple("0123456789")

    def __init__(self):
        self.bunch = load_digits()

    def __len__(self):
        return len(self.bunch.target)

    def __getitem__(self, index):
        return (self.bunch.images[index][None] * 15.9).astype("uint8"), self.bunch.target[index]


def fresh(seed):
    torch.manual_seed(seed)
    layers = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))


data = cu.open_data(Digits(), "digits-packed")
forget = cu.select(data, classes=[3])
original, *oracles = [cu.wrap(fresh(n), data, embedding_layer="6", hidden_layer="3") for n in (0, 0, 1, 2)]
cu.train_model(original, data, train={"epochs": 8})
for seed, oracle in enumerate(oracles):
    cu.train_model(oracle, data, without=forget, seed=seed, train={"epochs": 8})
unlearned = cu.unlearn_model(original, data, forget)
verdict = cu.audit_models(original, unlearned, oracles, data, forget).verdict
print(verdict.word, verdict.reason)
cu.save_model(unlearned, "unlearned.safetensors")
