import subprocess
import sys

import pytest

from vgglab.models.configs import CONFIGS, PAPER_ERRORS, PAPER_PARAMETERS, Conv, get_config


def test_columns_of_table_1():
    assert list(CONFIGS) == ["A", "A-LRN", "B", "C", "D", "E"]
    assert [config.weight_layers for config in CONFIGS.values()] == [11, 11, 13, 16, 16, 19]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_column_is_consistent(name):
    config = CONFIGS[name]
    layers = config.layers()
    assert len(config.convs()) + 3 == config.weight_layers
    assert layers.count("maxpool") == len(config.stages) == 5
    assert layers[-1] == "maxpool"
    channels = [{conv.out_channels for conv in stage_convs(stage)} for stage in config.stages]
    assert channels == [{64}, {128}, {256}, {512}, {512}]


def stage_convs(stage):
    return [Conv(*map(int, name[4:].split("-"))) for name in stage if name.startswith("conv")]


def test_what_sets_the_columns_apart():
    kernel_sizes = {name: [conv.kernel_size for conv in c.convs()] for name, c in CONFIGS.items()}
    assert [n for n, sizes in kernel_sizes.items() if set(sizes) == {1, 3}] == ["C"]
    assert kernel_sizes["C"].count(1) == 3
    assert CONFIGS["A-LRN"].convs() == CONFIGS["A"].convs()
    assert [n for n, config in CONFIGS.items() if "LRN" in config.layers()] == ["A-LRN"]


def test_results_of_the_paper():
    assert list(PAPER_PARAMETERS) == list(CONFIGS)
    assert {row.config for row in PAPER_ERRORS} == set(CONFIGS)
    for row in PAPER_ERRORS:
        assert 0 < row.top5_error < row.top1_error < 100
    single_scale = {row.config: row for row in PAPER_ERRORS if row.train_scale == 256}
    assert (single_scale["A"].top1_error, single_scale["A"].top5_error) == (29.6, 10.4)
    assert (single_scale["A-LRN"].top1_error, single_scale["A-LRN"].top5_error) == (29.7, 10.5)


@pytest.mark.parametrize("name", ["F", "d", 16, None])
def test_unknown_config_is_a_sentence(name):
    with pytest.raises(ValueError, match="config must be one of A, A-LRN, B, C, D, E; got"):
        get_config(name)


def test_configs_and_shapes_need_no_torch():
    code = "import sys, vgglab.models.configs, vgglab.shapes; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
