"""A stand-in for a network that collecting can be tested with: quick to make, to run, and to send to a process."""

from types import SimpleNamespace

import numpy as np

from vizlib.images import as_images


class Linear:
    """6 × 6 pixels; the layer "near" ends in a ReLU, "far" does not."""

    image_size, fingerprint, model, layers = 6, "f" * 64, SimpleNamespace(name="linear"), ("near", "far")
    identity = {"weights": "1" * 64, "preprocessing": "2" * 64, "image_size": 6}
    factors = {"near:pre": -3, "far": 7}
    image_shape, as_images = (6, 6, 3), staticmethod(as_images)

    def graph(self):
        return None, SimpleNamespace(tensors=self.features(self.factors).output, tokens=set())

    def check_layer(self, name):
        assert name in self.layers

    def is_rectified(self, name):
        return name == "near"

    def before_relu(self, name):
        return name + ":pre" * self.is_rectified(name)

    def features(self, names):
        return SimpleNamespace(output={name: np.empty((1, 3, 6, 3)) for name in names if self.factors[name]})

    def batches(self, images, names, size):
        for i in range(0, len(images), size):
            x = images[i : i + size, ::2]
            yield slice(i, i + len(x)), {name: x * np.float32(self.factors[name]) for name in names}

    def activations(self, images, names):
        return next(self.batches(images, names, len(images)))[1]
