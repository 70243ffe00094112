"""What a model may be made of: the config in anyone's file is looked at before Keras builds something from it.

Keras's safe mode refuses code. It still takes memory for whatever a file declares, so that a few bytes can ask for
terabytes; and the classes that it may name grew fewer only over time. Here the number of parameters that the layers ask
for is compared with what the file really holds before anything is allocated.
"""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from inspect import signature
from math import prod

import keras

MODULES = {"activations", "applications", "constraints", "dtype_policies", "initializers", "layers", "legacy", "losses"}
MODULES |= {"metrics", "mixed_precision", "models", "ops", "optimizers", "quantizers", "regularizers"}
# These hold code, of other libraries too, or read files that they name.
CLASSES = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
CLASSES |= {"StringLookup", "IntegerLookup", "TextVectorization"}


def check_config(config: dict, stored: int) -> None:
    """Raise ValueError if a config names other than Keras's classes, or asks for more weights than the `stored` ones.

    stored: how many numbers the file holds.
    """
    _check_classes(config)
    # In a thread of its own: Keras keeps a list of the variables without a value for each thread, and would give them
    # one at the next opportunity.
    with ThreadPoolExecutor(1) as thread:
        declared = thread.submit(_parameters, config).result()
    if declared > stored:
        raise ValueError(f"expected weights of {declared:,} parameters, as the layers have; the file has {stored:,}.")


def build(config: dict) -> keras.Model:
    """The model of a config, not compiled, with weights still to be loaded."""
    config = deepcopy({key: value for key, value in config.items() if key != "compile_config"})  # to be taken apart
    own = keras.saving.get_registered_object(str(config.get("registered_name")))
    if any("compile" in signature(kind.__init__).parameters for kind in getattr(own, "__mro__", ())):
        config["config"]["compile"] = False  # KerasHub's models come with an optimizer unless told otherwise
    return keras.saving.deserialize_keras_object(config, safe_mode=True)


def _check_classes(config):
    """Raise ValueError if a config names a class that is neither a layer of Keras nor registered with it."""
    if isinstance(config, dict):
        name, module, content = (config.get(key) for key in ("class_name", "module", "config"))
        known = module is None or keras.saving.get_registered_object(str(config.get("registered_name")))
        known = known or _is_modelling(str(module)) or module == "builtins" and hasattr(keras.activations, str(content))
        if name in CLASSES or not known:
            raise ValueError(
                f"expected layers of Keras, without code, or such as are registered with it "
                f"(keras.saving.register_keras_serializable; import keras_hub for its own); received {module}.{name}."
            )
    for part in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        _check_classes(part)


def _is_modelling(module):
    first, *rest = [part for part in module.split(".") if part != "src"]
    return first == "keras" and (not rest or rest[0] in MODULES)


def _parameters(config):
    """How many numbers a model's weights have, without taking memory for them."""
    with keras.StatelessScope(initialize_variables=False):
        return sum(prod(weight.shape) for weight in getattr(build(config), "weights", ()))
