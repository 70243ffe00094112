"""A Keras model seen as named layers of activations, from RGB images in [0, 1] to class scores."""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from math import inf, prod, sqrt
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_expit, log_softmax

from vizlib._arrays import Activations, Images, ImagesLike, Matrix
from vizlib.backend import HOLDS_WEIGHTS, Tensor, as_array, compiled
from vizlib.images import Rows, Size, as_images, sides
from vizlib.networks.graph import PRE, SCORES, Graph, as_in_training, is_graph, random_layers
from vizlib.networks.identity import checksums, preprocessing_hash, weights_hash
from vizlib.networks.tokens import as_map

LUMA = 0.299, 0.587, 0.114  # of RGB, of what brightness is made (ITU-R BT.601, as in Pillow)
MEMORY = 2**32  # bytes, about, of the activations of a batch
DTYPES = "float32", "bfloat16", "float16"
TRAINED = 12  # bytes of memory for each of them, with gradients
FEW = 8  # images that `activations` shows at a time: one takes 12 ms, as 8 do; 64 at a time, a sixth faster, 90 ms


class Network:
    """A functional or sequential Keras image model as named layers of activations.

    model: an input of images (n, h, w, 3), or (n, h, w, 1): these are the brightness of RGB images, and what is made
    for such a model is grey. preprocess: from RGB images in [0, 1], or their brightness, to the model's input, written
    in `keras.ops` so that gradients pass; None if the model takes them as they are. classes: names in the order of the
    scores; of one unit two names, for a head that tells two classes apart: its scores are − and + what the unit is
    before its sigmoid. size: pixels of a side, or (height, width), for models that leave it open (224 if not given) or
    for the layers of others that take images of any size. dtype: what activations are computed in, "float32", or
    "bfloat16" or "float16" (mixed precision: weights, losses and what is returned are float32), which GPUs compute
    faster, whatever policy the model's own layers have; those whose weights are no float32 keep theirs. It is no part
    of `identity`: statistics are of the network, however it is computed. output: the name of the one that holds the
    scores; None for the first that has a unit for each class, or else the first. given: what the inputs beside the
    image are for every image, {name of the input: array or number}.

    Where the head takes images of one size alone, as VGG16's does, and these are of another, class scores are those of
    the images made as large as that (bilinear), while layers see them as they are.

    `batch_size`: how many images go through the network at a time, as many as memory should hold; can be set.
    `layers`: names, shallow → deep, those of the layers in a model "base" within the model as "base/NAME", and the
    second call of a layer as "NAME#2", as also a layer "image" or "scores". `classes`: names. `image_size`: pixels of a
    side, or (height, width). Warns of layers that are called as in training, and of such as are random at every call.
    Raises ValueError for a model that does not take images, or whose classes do not match its outputs.
    """

    def __init__(
        self,
        model: keras.Model,
        preprocess: Callable | None = None,
        classes: Sequence[str] = (),
        size: Size | None = None,
        dtype: str = "float32",
        output: str | None = None,
        given: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        if isinstance(model, keras.Sequential) and not is_graph(model):
            raise ValueError(
                f"expected a Sequential model that knows its input; received {model.name!r}, which does after "
                "model.build((None, size, size, 3))."
            )
        if not is_graph(model):
            raise ValueError(f"expected a functional or sequential Keras model; received {model!r}.")
        self.given = {name: np.asarray(value) for name, value in (given or {}).items()}
        self._input = _image_input(model, self.given)
        n_classes, answers = len(classes), [tuple(x.shape) for x in model.outputs]
        names = [model.layers[-1].name] if isinstance(model, keras.Sequential) else model.output_names
        self.output = output or names[_fitting(answers, n_classes)]
        if self.output not in names:
            raise ValueError(f"expected an output out of {', '.join(names)}; received {output!r}.")
        self._output = names.index(self.output)
        *_, units = shape = answers[self._output]
        self.is_binary = units == 1 and n_classes == 2
        if n_classes and (len(shape) != 2 or n_classes != units and not self.is_binary):
            raise ValueError(f"expected a class name for each of the {units} outputs; received {n_classes} names.")
        if dtype not in DTYPES:
            raise ValueError(f"expected a dtype out of {', '.join(DTYPES)}; received {dtype!r}.")
        self.model, self.dtype = model, dtype
        self.preprocess = preprocess or (lambda images: images)
        self.classes = tuple(classes)
        height, width = (side or 224 for side in self._input.shape[1:3])
        height, width = map(int, sides(size or (height, width)))
        self.image_size = height if height == width else (height, width)
        self.graph = lru_cache(maxsize=4)(self._graph)
        self.features = lru_cache(maxsize=16)(self._features)
        self._kept, self._weights = lru_cache(maxsize=16)(lambda function, *given: function(self, *given)), []
        self._identity = lru_cache(maxsize=1)(self._identified)
        for found, told in (
            (as_in_training(model), "called with training=True: here, as in model.predict, that is set aside"),
            (random_layers(model), "random at every call: the same image has other activations each time"),
        ):
            if found:
                warnings.warn(f"layers of {model.name!r} ({', '.join(found)}) are {told}.", stacklevel=2)

    def __repr__(self) -> str:
        layers, classes, size = len(self.layers), len(self.classes), _px(self.image_size)
        return f"Network({self.model.name!r}, {layers} layers, {size}, {classes} classes)"

    def _repr_html_(self) -> str:
        from vizlib.networks.summary import summary

        return summary(self)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.graph()[1].layers)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, 3) of the images."""
        return (*sides(self.image_size), 3)

    @property
    def side(self) -> float:
        """Pixels of a side of a square that is as large as an image."""
        return sqrt(prod(sides(self.image_size)))

    @property
    def is_grey(self) -> bool:
        """Whether the model sees the brightness of images alone."""
        return self._input.shape[-1] == 1

    def shown(self, images: Tensor) -> Tensor:
        """Images (n, h, w, 3) without what the model cannot see: grey, if it sees their brightness alone."""
        return ops.repeat(_brightness(images), 3, axis=-1) if self.is_grey else images

    def as_images(self, images: ArrayLike) -> Images:
        """Images as `vizlib.images.as_images` gives them; if the model sees their brightness alone, grey ones of one
        channel as well, (n, h, w, 1) or (h, w, 1)."""
        if self.is_grey and np.shape(images)[-1:] == (1,):
            images = np.repeat(images, 3, axis=-1)
        return as_images(images)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments, besides the model, that make this network again."""
        names = "preprocess", "classes", "dtype", "output", "given"
        return {"size": self.image_size} | {name: getattr(self, name) for name in names}

    def resized(self, size: Size) -> Self:
        """The same network for images of another size."""
        return self if size == self.image_size else type(self)(self.model, **self.settings | {"size": size})

    @cached_property
    def scored(self) -> Self:
        """The network at the size of images that class scores are of: its own, or else the one the model asks for."""
        if self.graph()[1].scores is not None:
            return self
        own = zip(self._input.shape[1:3], sides(self.image_size), strict=True)
        height, width = (asked or here for asked, here in own)
        return self.resized((height, width))

    @cached_property
    def batch_size(self) -> int:
        tensors = [x for net in {self, self.scored} for x in net.graph()[1].tensors.values()]
        numbers = sum(prod(side or 1 for side in x.shape[1:]) for x in tensors)
        return int(np.clip(MEMORY // (TRAINED * max(numbers, 1)), 1, 64))  # a model may be of operations alone

    def _graph(self, relu=None, form=Graph):
        """The `Graph`, or one of a form of it, of the network from "images", RGB in [0, 1], on."""
        images = keras.Input(self.image_shape, name="images")
        seen = self.preprocess(_brightness(images) if self.is_grey else images)
        beside = {x.name: x for x in self.model.inputs}
        inputs = [_alike(images, self.given[name], x) if name in self.given else seen for name, x in beside.items()]
        policy = keras.DTypePolicy("float32" if self.dtype == "float32" else f"mixed_{self.dtype}")
        return images, form(self.model, inputs, relu, policy, self._output)

    def _features(self, layers, relu=None):
        """The network up to the deepest of the layers: a model from RGB images in [0, 1] to {layer: activations}.

        layers: a tuple of names out of `layers`; "scores" stands for the class scores before the softmax and
        NAME:pre for what a layer computes before its activation function. relu: a function that takes the place of
        every ReLU on the way, see `Graph`. Raises ValueError for an unknown layer, for one that cannot take images of
        this size, and where there is no ReLU to replace.
        """
        images, graph = self.graph(relu)
        own = [name for name in layers if name != SCORES or self.scored is self]
        found = {name: self._tensor(graph, name) for name in own}
        if relu and own:
            graph.check_rule(keras.Model(images, found))
        if len(own) < len(layers):
            size = sides(self.scored.image_size)
            resized = ops.image.resize(images, size, antialias=True)
            found |= self.scored.features((SCORES,), relu)(resized)
        return keras.Model(images, found)

    def from_input(self, layer: str, form: Callable) -> tuple[keras.Model, keras.Model, Graph]:
        """The network as two models, the first from images to the model's input, the second from [images, that] to
        {layer: activations}, and the graph, of a form of graph, that they are parts of.
        """
        images, graph = self.graph(None, form)
        seen = next(x for x, own in zip(graph.inputs, self.model.inputs, strict=True) if own is self._input)
        return keras.Model(images, seen), keras.Model([images, seen], {layer: self._tensor(graph, layer)}), graph

    def parted(self, at: str, layer: str) -> tuple[keras.Model, keras.Model, Callable]:
        """The network as two models, so that gradients with respect to what a layer answers can be taken.

        The first goes from images to what layer `at` gives to the next, the second from [images, that] to the
        {layer: activations}; the function makes of the former what `activations` gives. Raises ValueError for unknown
        layers, for those that cannot take images of this size, and where `layer` does not come after `at`.
        """
        images, graph = self.graph()
        ends = [self._tensor(graph, name) for name in (at, layer)]
        between, order = graph.outputs[at], (*self.layers, SCORES)
        if order.index(layer.removesuffix(PRE)) <= order.index(at):
            raise ValueError(f"expected a layer before {layer}; received {at}.")
        shape = ends[0].shape[1:3]
        shown = partial(as_map, shape=shape) if at in graph.tokens else lambda values: values
        return keras.Model(images, between), keras.Model([images, between], {layer: ends[1]}), shown

    def _tensor(self, graph, name):
        layer = name.removesuffix(PRE)
        if layer not in graph.tensors:
            self.check_layer(layer)
        tensor = graph.scores if layer == SCORES else graph.tensors.get(name)
        if tensor is None:
            wanted = f"images of {self.own_size}, which {name} is made for"
            raise ValueError(f"expected {wanted}; received a size of {_px(self.image_size)}.")
        tensor = tensor if tensor.dtype == "float32" else ops.cast(tensor, "float32")
        return ops.concatenate([-tensor, tensor], axis=-1) if layer == SCORES and self.is_binary else tensor

    @property
    def own_size(self) -> str:
        """The size that the model itself asks for, such as "224 px"; "any size" if none."""
        height, width = self._input.shape[1:3]
        return "any size" if height is None else _px(height if height == width else (height, width))

    @property
    def kept(self) -> Callable:
        """kept(function, *arguments) is function(net, *arguments), a compiled function, made once of the same weights.

        Where what is compiled has the weights in it (JAX), they are other arrays when they were trained, and it is
        dropped then; elsewhere it reads the variables.
        """
        weights = [weight.value for weight in self.model.weights] if HOLDS_WEIGHTS else []
        if [*map(id, weights)] != [*map(id, self._weights)]:
            self._kept.cache_clear()
            self._weights = weights
        return self._kept

    def is_rectified(self, name: str) -> bool:
        """Whether a layer ends in a ReLU, one without a maximum."""
        return self.graph()[1].ceiling.get(name) == inf

    def before_relu(self, name: str) -> str:
        """The name of what a layer computes before its ReLU, if it ends in one, and else of the layer."""
        return name + PRE * self.is_rectified(name)

    def finer_layers(self, name: str) -> tuple[str, ...]:
        """Of each resolution finer than that of a layer the last layer before it that ends in a ReLU, deep to shallow.

        What a layer leaves open of an image, they tell: VGG16's block3_conv3 has block2_conv2 and block1_conv2. Where
        none ends in a ReLU, the last layer with weights. Of a vision transformer, whose layers have one resolution, of
        those of the same kind, or else of its blocks, that at half the depth, at a quarter, and so on to the first.
        """
        self.check_layer(name)
        earlier = self.layers[: (*self.layers, SCORES).index(name)]
        finer = [layer for layer in earlier if self._height(layer) > self._height(name)]
        with_weights = [layer for layer in finer if self._has_learned(layer)]
        if found := [layer for layer in finer if self.is_rectified(layer)] or with_weights:
            return self.last_of_resolutions(found)
        tokens = [layer for layer in earlier if layer in self.graph()[1].tokens]
        blocks = [layer for layer in tokens if self._kind(layer) == self._kind(name)] or self._blocks(name, tokens)
        return tuple(blocks[len(blocks) >> i] for i in range(1, len(blocks).bit_length() + 1))

    def last_of_resolutions(self, layers: Sequence[str]) -> tuple[str, ...]:
        """Of layers with positions the last of each resolution, deep to shallow."""
        last = {self._height(layer): layer for layer in sorted(layers, key=self.layers.index)}
        return tuple(last[height] for height in sorted(last) if height)

    def _has_learned(self, layer):
        own = self.graph()[1].origin[layer]
        return bool(own.weights) and not isinstance(own, keras.layers.Normalization)

    def _kind(self, layer):
        graph = self.graph()[1]
        return layer in graph.tokens and (type(graph.origin[layer]), graph.tensors[layer].shape)

    def _blocks(self, name, tokens):
        """Of the layers of tokens before a layer those of the kind of the last that has layers in it, if there are
        several, or else of the last that is not in the layer itself."""
        whole = [layer for layer in tokens if any(inner.startswith(f"{layer}/") for inner in self.layers)]
        blocks = [layer for layer in whole if self._kind(layer) == self._kind(whole[-1])]
        others = [layer for layer in tokens if not layer.startswith(f"{name}/")]
        return blocks if len(blocks) > 1 else [x for x in others if self._kind(x) == self._kind(others[-1])]

    def _height(self, layer):
        tensors = self.graph()[1].tensors
        shape = tensors[layer].shape if layer in tensors else ()
        return shape[1] if len(shape) == 4 else 0

    def check_layer(self, name: str) -> None:
        """Raise ValueError, listing the layers, if there is no such layer.

        "scores" are the class scores before the softmax, "image" is the image and no layer; a layer that the model
        calls so is "scores#2" or "image#2".
        """
        if name not in (*self.layers, SCORES):
            raise ValueError(f"expected a layer out of {', '.join(self.layers)} or {SCORES}; received {name!r}.")

    def class_index(self, name: str | int) -> int:
        """The position of a class in the scores; `name` may be the position itself, as of classes of the same name.

        Raises ValueError, listing the classes, if there is none of this name, and their positions if there are several.
        """
        found = [i for i, known in enumerate(self.classes) if known == name]
        units = len(self.classes) or self.model.outputs[self._output].shape[-1]
        if isinstance(name, (int, np.integer)) and 0 <= name < units:
            return int(name)
        if not found:
            known = ", ".join(self.classes) or f"0 to {units - 1} (none named)"
            raise ValueError(f"expected a class out of {known}; received {name!r}.")
        if len(found) > 1:
            raise ValueError(f"expected one of the positions {found}, of classes of one name; received {name!r}.")
        return found[0]

    def activations(self, images: ImagesLike, layers: Iterable[str]) -> dict[str, Activations]:
        """What the layers answer: {layer: float32 array (n, h, w, channels) or (n, units)}.

        images: (n, height, width, 3), float in [0, 1] or uint8. layers: names as in `features`. On a CPU, what
        they answer to an image is the same to the last bit whatever images are beside it. Raises ValueError for other
        images and unknown layers.
        """
        images, answers = self.as_images(images), {}
        for rows, found in self.batches(images, layers, min(FEW, self.batch_size)):
            for name, values in found.items():
                if name not in answers:
                    answers[name] = np.empty((len(images), *values.shape[1:]), "float32")
                answers[name][rows] = values
        return answers

    def batches(
        self, images: Rows, layers: Iterable[str], size: int | None = None
    ) -> Iterator[tuple[slice, dict[str, Activations]]]:
        """Yield (rows, {layer: float32 array}) batch by batch: a slice of the images, and what is answered to them.

        images: (n, height, width, 3), float in [0, 1] or uint8, an array or what gives arrays for slices of
        its rows, such as `numpy.memmap` or an HDF5 dataset. layers: names as in `features`. size: images of a batch,
        `batch_size` if None. The arrays are not copied and may be read-only. Raises ValueError for other images and
        unknown layers.
        """
        layers, (height, width, _), size = tuple(layers), self.image_shape, size or self.batch_size
        if tuple(images.shape[1:]) not in (self.image_shape, (height, width, self._input.shape[-1])):
            raise ValueError(f"expected images of shape (n, {height}, {width}, 3); received {tuple(images.shape)}.")
        answers = self.kept(_answers, layers)
        for start in range(0, len(images), size):
            batch = self.as_images(images[start : start + size])
            n = len(batch)
            # A batch has the same number of images each time, black ones at the end. Where in it an image is changes
            # nothing in what is computed for it; how many there are does, as matrices of other shapes are multiplied in
            # another order. So it was with all networks that were measured (VGG16, ResNet50, ConvNeXt and others, 1 to
            # 6 threads): the last bits were others on TensorFlow of 1 image and of 2, ConvNeXt's of 12 and of 16, and
            # on JAX the embedded network's of 32 and of 64. Nor has JAX to compile anything else, which takes seconds.
            # On a processor without AVX-512 (AMD EPYC with AVX2) the place, too, may change the last bit.
            batch = np.concatenate([batch, np.zeros((size - n, height, width, 3), "float32")]) if n < size else batch
            found = answers(ops.convert_to_tensor(batch))
            yield slice(start, start + n), {layer: as_array(found[layer])[:n] for layer in layers}

    def scores(self, images: ImagesLike) -> Matrix:
        """Class scores before the softmax, float32 (n, classes); `images` as in `activations`."""
        return self.activations(images, [SCORES])[SCORES]

    @cached_property
    def is_sigmoid(self) -> bool:
        """Whether each score is told on its own whether its class is there, and not which of all classes is."""
        return self.is_binary or self.scored.graph()[1].head == "sigmoid"

    def log_probabilities(self, scores: Matrix) -> Matrix:
        """The logarithms of what the network takes each class for, of its scores (n, classes), by its own function."""
        return log_expit(scores) if self.is_sigmoid else log_softmax(scores, axis=-1)

    def recognised(self, scores: Matrix) -> NDArray[np.bool_]:
        """Which classes scores (n, classes) stand for, booleans of that shape: the one with the highest score, or where
        each class has a probability of its own, those above a half."""
        return scores > 0 if self.is_sigmoid else scores == scores.max(axis=1, keepdims=True)

    @property
    def identity(self) -> dict[str, str | int | list[int]]:
        """What activations depend on: {"weights": SHA-256 of what the layers are and of their weights, "preprocessing":
        SHA-256 of what it makes of a few colours, "image_size": pixels of a side, or [height, width]}.

        It is that of the weights as they are now; while they do not change, it is computed once.
        """
        return self._identity(checksums(self.model.weights))

    def _identified(self, sums):
        return {
            "weights": weights_hash(self.model),
            "preprocessing": preprocessing_hash(self.preprocess, self._input.shape[-1], self.given),
            "image_size": self.image_size if isinstance(self.image_size, int) else [*self.image_size],
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `identity`."""
        return hashlib.sha256(repr(sorted(self.identity.items())).encode()).hexdigest()


def _image_input(model, given):
    """The one input that is not given, which has to be of images."""
    names = [x.name for x in model.inputs]
    if unknown := given.keys() - set(names):
        raise ValueError(f"expected inputs out of {', '.join(names)}; received {', '.join(sorted(unknown))}.")
    for x in model.inputs:
        if x.name in given and not _fits(given[x.name].shape, x.shape[1:]):
            received = f"one of shape {given[x.name].shape}"
            raise ValueError(f"expected for {x.name} an array of shape {tuple(x.shape[1:])}; received {received}.")
    left = {x.name: tuple(x.shape) for x in model.inputs if x.name not in given}
    if len(left) > 1:
        wanted = "one input of images, and what the others are for every image: given={name: array}"
        raise ValueError(f"expected {wanted}; received inputs {left}.")
    shape = next(iter(left.values()), ())
    if len(shape) != 4 or shape[-1] not in (1, 3):
        wanted = "images (n, height, width, 3) or (n, height, width, 1)"
        raise ValueError(f"expected a model with one input of {wanted}; received {[*left.values()]}.")
    return next(x for x in model.inputs if x.name not in given)


def _fits(shape, wanted):
    return shape == () or len(shape) == len(wanted) and all(b in (None, a) for a, b in zip(shape, wanted, strict=True))


def _alike(images, value, x):
    """What an input x of a model is for every image: a symbolic tensor of as many rows as there are images."""
    shape = value.shape or tuple(side or 1 for side in x.shape[1:])
    nothing = ops.cast(ops.zeros_like(images[:, :1, 0, 0]), x.dtype)
    return ops.reshape(nothing, (-1, *(1,) * len(shape))) + ops.array(np.broadcast_to(value, shape), x.dtype)[None]


def _brightness(images):
    return ops.sum(images * ops.array(LUMA, dtype=images.dtype), axis=-1, keepdims=True)


def _px(size):
    return f"{' × '.join(map(str, dict.fromkeys(sides(size))))} px"


def _fitting(shapes, n_classes):
    """The position of the output whose shape fits so many classes, or else of the first."""
    fitting = [i for i, shape in enumerate(shapes) if len(shape) == 2 and shape[1] == n_classes]
    binary = [i for i, shape in enumerate(shapes) if len(shape) == 2 and shape[1] == 1 and n_classes == 2]
    return next(iter((*fitting, *binary, 0)))


def _answers(net, layers):
    """A compiled function of images to the activations of layers."""
    features = net.features(layers)
    return compiled(lambda images: features(images, training=False))
