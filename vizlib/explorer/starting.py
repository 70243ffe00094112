"""What a network is first looked at with: how large images and at which layer."""

from vizlib.networks import Network

PREVIEWS = 96, 128, 160  # pixels of a side that larger images are looked at with
PREVIEW = 128  # to start with, at a third of the time of 224
GRID = 24  # positions of a side


def sizes(net: Network) -> list[int]:
    """The sizes that images of a network can be looked at in, its own the last: one, if that is no larger."""
    whole = net.image_size
    return [size for size in PREVIEWS if isinstance(whole, int) and whole > max(PREVIEWS)] + [whole]


def first_layer(net: Network) -> str:
    """The layer to start with: the last with 24 positions a side or more that ends in a ReLU, or else that has weights.

    There, parts of objects are told apart and can still be put together anew: block2_conv2 of the embedded network,
    32 × 32, was measured best (docs/layers.md), and of VGG16 at 224 px it is block4_conv3, 28 × 28 (docs/explorer.md).
    Of images below 48 px half a side is enough; where no layer has positions, the last one of all is taken.
    """
    graph = net.graph()[1]
    sides = {name: min(x.shape[1:3]) for name, x in graph.tensors.items() if name in net.layers and len(x.shape) == 4}
    least = min(GRID, max(sides.values(), default=0) // 2)
    fine = [name for name, side in sides.items() if side >= least]
    rectified = [name for name in fine if name in graph.ceiling]
    return (rectified or [name for name in fine if graph.origin[name].weights] or net.layers)[-1]
