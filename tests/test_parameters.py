"""The parameters of a notebook: those that stop a run, and those that do not, in cells and in runs of papermill."""

from types import SimpleNamespace

import keras
import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from vizlib import check_parameters, partworld
from vizlib.explorer import parameters
from vizlib.explorer.parameters import check_declared, check_names, fitted
from vizlib.networks.loaders import imagenet_classes
from vizlib.networks.network import Network


@pytest.fixture
def net(tiny_cnn):
    return Network(tiny_cnn)


@pytest.fixture
def photographs(tmp_path):
    for name in ("ant", "bee", ".hidden"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
    (tmp_path / "photographs" / "notes.txt").touch()
    return str(tmp_path / "photographs")


def test_known_names_pass(mini, net, photographs):
    check_names({"class_name": "cat", "others": ["fish"], "layer": "block2_conv2", "steps": 3}, mini, "partworld")
    check_names({"others": ("face", "train"), "layers": ["block1_conv1", "scores"]}, mini, "partworld")
    check_names({"others": ["ant", "bee"], "layer": "conv2"}, net, photographs)
    check_names({}, mini, "partworld")


@pytest.mark.parametrize("parameter", ["class_name", "others"])
def test_an_unknown_class_is_an_error_that_lists_the_classes(parameter, mini):
    value = "dog" if parameter == "class_name" else ["cat", "dog"]
    listed = f"'partworld' ({', '.join(partworld.CLASSES)})"
    with pytest.raises(ValueError) as error:
        check_names({parameter: value}, mini, "partworld")
    assert str(error.value) == f"expected {parameter} out of the classes of {listed}; received 'dog'."


def test_classes_of_a_folder_are_its_visible_folders(net, photographs):
    for name in (".hidden", "notes.txt", "cat", ""):
        with pytest.raises(ValueError) as error:
            check_names({"class_name": name}, net, photographs)
        assert str(error.value).endswith(f"(ant, bee); received {name!r}.")


def test_a_folder_without_classes_has_none(net, photographs):
    with pytest.raises(ValueError, match="expected folders of classes, or pictures, in .*; received an empty folder"):
        check_names({"class_name": "x"}, net, f"{photographs}/ant")


def test_a_missing_source_is_an_error(net, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        check_names({}, net, str(tmp_path / "nowhere"))


def test_a_class_of_the_source_must_be_one_of_the_network_too(tiny_cnn, photographs):
    named = Network(tiny_cnn, classes=("ant", "wasp", "fly"))
    check_names({"class_name": "ant"}, named, photographs)
    with pytest.raises(ValueError, match=r"of the network \(ant, wasp, fly\); received 'bee'"):
        check_names({"class_name": "bee"}, named, photographs)


def test_of_a_thousand_classes_the_nearest_are_listed(net, tmp_path):
    (tmp_path / "gold_fish").mkdir()
    net.classes = imagenet_classes()
    with pytest.raises(ValueError, match=r"\(1000 names, the nearest goldfish, .*\); received 'gold_fish'"):
        check_names({"class_name": "gold_fish"}, net, str(tmp_path))


@pytest.mark.parametrize("values", [{"layer": "conv3"}, {"layers": ["conv1", "conv3"]}])
def test_an_unknown_layer_is_an_error_that_lists_the_layers(values, net):
    with pytest.raises(ValueError, match=r"conv1, conv2, pool, .*; received 'conv3'"):
        check_names(values, net, "partworld")


@pytest.mark.parametrize(
    "values",
    [{"others": "face"}, {"class_name": ["face"]}, {"layers": "conv1"}, {"layer": 1}, {"others": [1]}],
)
def test_one_name_is_no_list_and_a_list_no_name(values, net):
    ((parameter, value),) = values.items()
    wanted = "a name" if parameter in ("class_name", "layer") else "a list of names"
    with pytest.raises(ValueError) as error:
        check_names(values, net, "partworld")
    assert str(error.value) == f"expected {parameter} to be {wanted}; received {value!r}."


OWN = 'class_name = "face"\nlayers = [\n    "conv1",  # the first\n]\nn: int = 3'


@pytest.mark.parametrize(
    ("cells", "given"),
    [
        ([OWN, "net = 1"], []),
        ([OWN, '# Parameters\nn = 2\nlayers = ["conv2"]\n', "import os"], ["n", "layers"]),
        (["# Parameters\n" + OWN, "# Parameters\nn = 2\n"], ["n"]),  # the notebook's own cell begins with the comment
        ([OWN, "n = (", "# Parameters\nn = 2\n"], ["n"]),  # a slip on the way
        ([OWN, "# Parameters\nm = 2\n", "m", "# Parameters\nn = 2\n"], ["n"]),  # corrected, by hand
        ([], []),
    ],
)
def test_declared_parameters_pass_and_are_known_to_be_given(cells, given):
    assert check_declared(cells) == given


@pytest.mark.parametrize(
    "cells",
    [
        [OWN, "# Parameters\nn = 2\nm = 2\n"],
        [OWN, "# Parameters\nm = 2\n", "m = 1", "# Parameters\nm = 2\n"],  # run twice
        [OWN, "# Parameters\nm = 2\n", "m = 1"],
    ],
)
def test_an_undeclared_parameter_is_an_error_that_lists_the_declared_ones(cells):
    with pytest.raises(ValueError) as error:
        check_declared(cells)
    assert str(error.value) == "expected parameters out of class_name, layers, n; received 'm'."


def test_outside_of_ipython_there_is_nothing_to_check(net):
    with pytest.raises(ValueError, match=r"^expected a notebook, .*; received a call outside of IPython\.$"):
        check_parameters(net, "partworld")


@pytest.fixture
def space(monkeypatch):
    """The namespace of a notebook, with the history of its cells."""
    space = {"In": ["", OWN, "# Parameters\nn = 2\n"], "class_name": "face", "layers": ["conv1"]}
    monkeypatch.setattr(parameters, "get_ipython", lambda: SimpleNamespace(user_ns=space))
    return space


def test_what_is_checked_is_the_namespace_and_the_history_of_ipython(net, space):
    check_parameters(net, "partworld")
    with pytest.raises(ValueError, match="received 'conv9'"):
        space["layers"] = ["conv9"]
        check_parameters(net, "partworld")
    with pytest.raises(ValueError, match="received 'm'"):
        space["In"][-1] = "# Parameters\nm = 2\n"
        check_parameters(net, "partworld")


def test_what_is_left_of_the_embedded_world_is_fitted_and_printed(net, space, photographs, capsys):
    space["layers"] = ["block1_conv2"]
    check_parameters(net, photographs)
    assert space["class_name"] == "ant" and space["layers"] == ["conv2"]
    assert capsys.readouterr().out == (
        "class_name = 'ant', as there is no 'face' here\nlayers = ['conv2'], as there is no ['block1_conv2'] here\n"
    )
    check_parameters(net, photographs)
    assert capsys.readouterr().out == ""


def test_what_papermill_was_given_is_not_fitted(net, space, photographs):
    space["In"][-1] = '# Parameters\nclass_name = "face"\n'
    with pytest.raises(ValueError, match=r"\(ant, bee\); received 'face'"):
        check_parameters(net, photographs)


USUAL = {"class_name": "face", "others": ["cat", "bird", "clock"], "layer": "block2_conv2"}
USUAL |= {"layers": ["block1_conv2", "block3_conv1", "block3_conv3", "block5_conv3", "fc1"]}


def test_nothing_is_fitted_that_is_there(mini):
    assert fitted(USUAL, mini, "partworld", ()) == {}


def test_classes_are_the_first_that_source_and_network_share(tiny_cnn, photographs):
    named = Network(tiny_cnn, classes=("wasp", "bee", "fly"))
    both = {"class_name": "face", "others": ["cat"]}
    assert fitted(both, named, photographs, ()) == {"class_name": "bee", "others": []}
    assert fitted({"class_name": "ant", "others": ["cat"]}, Network(tiny_cnn), photographs, ()) == {"others": ["bee"]}
    strange = Network(tiny_cnn, classes=("wasp", "flea", "fly"))
    assert fitted({"class_name": "face"}, strange, photographs, ()) == {}  # left to the error that lists both
    assert fitted({"class_name": "gnat", "layer": "conv9"}, named, photographs, ()) == {}  # names of no world


def test_layers_stand_where_those_of_the_embedded_network_stood(photographs):
    """ResNet50's stages end in `..._out`; a network whose finest steps are larger gives its finest."""
    resnet = Network(keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), include_top=False))
    found = fitted(USUAL, resnet, photographs, ("class_name", "others"))
    assert found["layer"] == "conv1_relu"  # in steps of 2 pixels, and block3_conv1 and block3_conv3 of 4
    assert found["layers"] == ["conv1_relu", "conv2_block3_out", "conv4_block6_out", "conv5_block3_out"]


def test_without_relus_they_are_layers_with_a_kernel(photographs):
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="gelu", name="gelu")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    model = keras.Model(image, keras.layers.MaxPooling2D(name="pool")(x))
    assert fitted({"layer": "block4_conv3"}, Network(model), photographs, ()) == {"layer": "gelu"}


def test_at_another_size_a_layer_that_is_made_for_one_is_fitted(mini):
    other = Network(mini.model, mini.preprocess, mini.classes, size=96)
    assert fitted({"layer": "fc1"}, other, "partworld", ()) == {"layer": "block5_conv3"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a notebook with a network of two layers under papermill: what its last cell printed."""
    folder = tmp_path_factory.mktemp("runs")
    cells = [
        'class_name = "face"\nlayer = "conv1"\nn = 1',
        "import keras\n\nimport vizlib as viz\n\nimage = x = keras.Input((8, 8, 3))\n"
        'for name in ("conv1", "conv2"):\n    x = keras.layers.Conv2D(2, 3, name=name)(x)\n'
        'viz.check_parameters(viz.Network(keras.Model(image, x)), "partworld")',
        "print(class_name, layer, n)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata.tags = ["parameters"]
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "small.ipynb")

    def run(**given):
        done = papermill.execute_notebook(folder / "small.ipynb", folder / "out.ipynb", given, progress_bar=False)
        return done.cells[-1].outputs[0].text

    return run


def test_a_run_with_parameters_of_the_notebook_passes(run):
    assert run() == "face conv1 1\n"
    assert run(class_name="house", layer="conv2", n=2) == "house conv2 2\n"


@pytest.mark.parametrize("given", [{"clas_name": "house"}, {"class_name": "dog"}, {"layer": "conv9", "n": 2}])
def test_a_run_with_a_wrong_parameter_stops_in_the_second_cell(run, given):
    wrong = next(iter(given)) if "clas_name" in given else next(iter(given.values()))
    with pytest.raises(PapermillExecutionError) as error:
        run(**given)
    assert error.value.ename == "ValueError" and f"received {wrong!r}." in error.value.evalue
    assert error.value.exec_count == 3  # the notebook's parameters, those injected, the set-up
