import keras, numpy as np
from keras import ops
from vizlib.backend import compiled, value_and_gradient

def shifted(images, offset, jitter):
    if not jitter: return images
    n, h, w, c = images.shape
    padded = ops.pad(images, [[0,0],[jitter,jitter],[jitter,jitter],[0,0]], mode="reflect")
    return ops.slice(padded, [0, offset[0], offset[1], 0], (n, h, w, c))

def optimize(net, terms, canvas, n, steps=256, seed=0, learning_rate=0.05, jitter=0, jit=False):
    variables = [ops.convert_to_tensor(v) for v in canvas.start(n, seed)]
    state = ([0*v for v in variables], [0*v for v in variables])
    def adam(v, g, state, t):
        m = [0.9*a+0.1*b for a,b in zip(state[0], g)]; q=[0.999*a+0.001*b*b for a,b in zip(state[1], g)]
        t=ops.cast(t,"float32")+1
        r = learning_rate*ops.sqrt(1-0.999**t)/(1-0.9**t)
        return [x-r*a/(ops.sqrt(b)+1e-8) for x,a,b in zip(v,m,q)], (m,q)
    layers = tuple(sorted({l for t in terms for l in t.layers}))
    features = net.features(layers)
    def loss(variables, offset):
        images = canvas.image(variables)
        a = features(shifted(images, offset, jitter)) | {"image": images}
        losses = ops.stack([t(a) for t in terms])
        return ops.sum(losses), (losses, images)
    vg = value_and_gradient(loss)
    @compiled
    def step(variables, state, offset, t):
        (_, (losses, images)), g = vg(variables, offset)
        variables, state = adam(variables, g, state, t)
        return variables, state, losses, images
    rng = np.random.default_rng([seed, 1]); hist = []
    for i in range(steps):
        j = int(round(jitter * max(0, 1 - i / (0.8*steps)))) if jitter else 0
        off = (rng.integers(-j, j + 1, 2) + jitter).astype("int32")
        variables, state, losses, images = step(variables, state, ops.convert_to_tensor(off), ops.convert_to_tensor(i))
        hist.append(np.array(losses))
    return np.array(images), np.array(hist)
