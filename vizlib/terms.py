import numpy as np
from keras import ops

class Distance:
    def __init__(self, layer, targets):
        self.layer, self.layers = layer, (layer,)
        self.targets = np.asarray(targets, "float32")
        self.norm = (self.targets.reshape(len(targets), -1) ** 2).sum(1)
        self.name = f"distance to {layer}"
    def __call__(self, a):
        d = a[self.layer] - self.targets
        return ops.sum(ops.reshape(d * d, (len(self.targets), -1)), axis=1) / self.norm

class ClassScore:
    def __init__(self, index, weight=1.):
        self.index = index; self.layers = ("scores",); self.name = "class score"; self.weight=weight
    def __call__(self, a):
        return -self.weight*a["scores"][:, self.index]

class TotalVariation:
    layers = (); name = "total variation"
    def __init__(self, weight): self.weight = weight
    def __call__(self, a):
        x = a["image"]
        dy = x[:, 1:, :-1] - x[:, :-1, :-1]; dx = x[:, :-1, 1:] - x[:, :-1, :-1]
        return self.weight * ops.mean(ops.sqrt(dy**2 + dx**2 + 1e-6), axis=(1, 2, 3))

class L2:
    layers = (); name="L2"
    def __init__(self, weight): self.weight = weight
    def __call__(self, a):
        return self.weight * ops.mean((a["image"]-0.5)**2, axis=(1,2,3))
