"""A folder as a user has it: a file with networks, a few pictures, a film."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

NET = """
import torch
from torch import nn

class Net(nn.Module):
    labels = ["cat", "dog", "Egyptian cat"]

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        x = self.second(self.first(x).relu()).relu()
        return self.fc(x.mean((2, 3)))

class Other(Net):
    def __init__(self):
        super().__init__()
        self.seconds = self.second
        del self.second

    def forward(self, x):
        return self.fc(self.seconds(self.first(x).relu()).relu().mean((2, 3)))
"""
"""`net.py`: the same weights each time; `Other` has another name for its second layer."""


def write_workplace(folder: Path) -> None:
    """Write net.py, pictures/0.png to 2.png, and film.avi: 30 frames, all different."""
    (folder / "net.py").write_text(NET)
    (folder / "pictures").mkdir()
    random = np.random.default_rng(0)
    for index in range(3):
        pixels = random.integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{index}.png")
    writer = cv2.VideoWriter(
        str(folder / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48)
    )
    for index in range(30):  # brighter and brighter: a steady range lags behind
        writer.write(random.integers(0, 20 + 8 * index, (48, 64, 3), np.uint8))
    writer.release()


def num_frames(path: Path) -> int:
    """Of a film, each one decoded: what its head promises is not asked."""
    film = cv2.VideoCapture(str(path))
    count = 0
    while film.grab():
        count += 1
    film.release()
    return count
