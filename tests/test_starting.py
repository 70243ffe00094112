"""What a network is first looked at with."""

import keras
import pytest

import vizlib as viz
from vizlib.explorer.starting import first_layer, sizes

APPLICATIONS = {
    "VGG16": ("block4_conv3", 28),
    "ResNet50": ("conv3_block4_out", 28),
    "MobileNet": ("conv_pw_5_relu", 28),  # which ends in a ReLU6, as all of it does
    "EfficientNetB0": ("block4a_expand_bn", 28),  # without ReLUs
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_networks_of_keras_start_where_parts_can_be_put_together(name):
    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(224, 224, 3))
    net = viz.Network(model)
    layer, side = APPLICATIONS[name]
    assert first_layer(net) == layer and net.features((layer,)).output[layer].shape[1] == side
    assert sizes(net) == [96, 128, 160, 224]


def test_the_embedded_network_starts_where_its_samples_are_best(mini):
    assert first_layer(mini) == "block2_conv2" and sizes(mini) == [64]


def network(size, *more):
    return viz.Network(keras.Sequential([keras.Input((size, size, 3)), *more]))


def test_of_small_images_half_a_side_is_enough():
    conv, pool = keras.layers.Conv2D, keras.layers.MaxPooling2D
    layers = [conv(2, 3, padding="same", activation="relu", name="first"), pool(2, name="half")]
    layers += [conv(2, 3, padding="same", activation="relu", name="second"), pool(2, name="quarter")]
    layers += [conv(2, 3, padding="same", activation="relu", name="third")]
    assert first_layer(network(32, *layers)) == "second"
    assert first_layer(network(96, *layers)) == "third"  # of 24 × 24


def test_a_network_without_positions_starts_at_its_last_layer():
    dense = keras.layers.Dense
    assert first_layer(network(4, keras.layers.Flatten(), dense(5, name="hidden"), dense(2, name="head"))) == "head"


def test_sizes_above_160_px_have_previews():
    assert sizes(network(160, keras.layers.Flatten())) == [160]
    assert sizes(network(161, keras.layers.Flatten())) == [96, 128, 160, 161]
