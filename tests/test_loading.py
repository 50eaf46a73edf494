import os
import sys
from urllib.error import URLError

import pytest
import torch
from torch import nn

from vgglab.models.loading import load_model
from vgglab.models.network import vgg
from vgglab.tracing import trace


@pytest.mark.parametrize(
    ("source", "type_", "logits"),
    [
        ("torchvision:vgg16", "VGG", 1000),
        ("torchvision:googlenet", "GoogLeNet", 1000),
        ("timm:resnet18", "ResNet", 1000),
        ("vgglab:D", "VGG", 1000),
        ("vgglab:A-LRN,num_classes=7,width=0.25,head=gap", "VGG", 7),
    ],
)
def test_models_of_libraries_take_no_memory(source, type_, logits):
    model = load_model(source)
    assert type(model).__name__ == type_
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    assert not model.training
    assert trace(model, (1, 3, 224, 224)).output_shapes == ((1, logits),)


def test_a_builder_that_computes_is_built_for_real():
    model = load_model("torchvision:regnet_y_400mf")
    assert {p.device.type for p in model.parameters()} == {"cpu"}


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "class Nets:\n"
        "    tiny = nn.Linear(2, 3)\n"
        "def build(): return nn.Conv2d(1, 1, 1)\n"
        "def needs(width): return nn.Linear(width, 1)\n"
        "def crashes(): raise KeyError('width')\n"
        "number = 3\n"
    )
    (tmp_path / "own_broken.py").write_text("import no_such_dependency\n")
    (tmp_path / "own_crash.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("own_nets", "own_broken", "own_crash"):
        sys.modules.pop(name, None)


def test_your_own_models(own_module):
    assert isinstance(load_model("own_nets:build"), nn.Conv2d)
    assert isinstance(load_model("own_nets:Nets.tiny"), nn.Linear)
    assert isinstance(load_model("torch.nn:Flatten"), nn.Flatten)
    assert load_model("own_nets:Nets.tiny").weight.device == torch.device("cpu")


def test_your_own_models_by_their_file(own_module, tmp_path):
    for file in ("own_nets.py", "./own_nets.py", str(tmp_path / "own_nets.py")):
        assert isinstance(load_model(f"{file}:build"), nn.Conv2d)
        assert isinstance(load_model(f"{file}:Nets.tiny"), nn.Linear)
    (tmp_path / "my-models").mkdir()
    (tmp_path / "my-models" / "net.v2.py").write_text(
        "import widths\nfrom torch import nn\nclass Net(nn.Linear):\n"
        "    def __init__(self): super().__init__(widths.WIDTH, 1)\n"
    )
    (tmp_path / "my-models" / "widths.py").write_text("WIDTH = 7\n")
    assert load_model("my-models/net.v2.py:Net").in_features == 7


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("vgg16", "model must be torchvision:NAME, .* got 'vgg16'; .* mean torchvision:vgg16, "),
        ("VGG16", "did you mean torchvision:vgg16, "),
        ("torchvision:VGG16", "'VGG16' is not in torchvision; did you mean vgg16, "),
        ("Torchvision:vgg16", "no module 'Torchvision'; did you mean torchvision?"),
        ("own_nets.py", "got 'own_nets.py'; name what is in it, own_nets.py:Net"),
        ("no_nets.py:build", "there is no file 'no_nets.py'"),
        ("./own_nets.py:Build", "'Build' is not in ./own_nets.py; did you mean build"),
        ("own_broken.py:net", "cannot be imported: No module named 'no_such_dependency'"),
        ("own_crash.py:net", "cannot be imported: ZeroDivisionError"),
        (":vgg16", "model must be torchvision:NAME"),
        ("torchvision:", "model must be torchvision:NAME"),
        ("torchvision:vgg17", "'vgg17' is not in torchvision; did you mean vgg"),
        ("timm:resnet19", "'resnet19' is not in timm; did you mean resnet"),
        ("vgglab:F", "config must be one of A, A-LRN, B, C, D, E; got 'F'"),
        ("vgglab:D,norm", "model options must be written name=value; got 'norm'"),
        ("vgglab:D,size=3", "unexpected keyword argument 'size'"),
        ("vgglab:D,head=mlp", "head must be one of"),
        ("no.such.module:net", "there is no module 'no.such.module'"),
        ("own_nets:buidl", "'buidl' is not in own_nets; did you mean build"),
        ("own_nets:number", "must be a torch.nn.Module or return one; got int"),
        ("own_nets:needs", "must be callable without arguments; it raises TypeError"),
        ("own_nets:crashes", "it raises KeyError: 'width'"),
        ("own_broken:net", "cannot be imported: No module named 'no_such_dependency'"),
        ("own_crash:net", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_found_is_one_sentence(own_module, source, words):
    with pytest.raises(ValueError, match=words) as caught:
        load_model(source)
    assert "\n" not in str(caught.value)


def test_timm_is_not_needed_unless_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match="needs timm: pip install timm"):
        load_model("timm:resnet18")


def test_weights_from_a_file(tmp_path):
    narrow = vgg("A", width=1 / 16)
    for number, saved in enumerate((narrow.state_dict(), {"state_dict": narrow.state_dict()})):
        file = tmp_path / f"{number}.pt"
        torch.save(saved, file)
        model = load_model("vgglab:A,width=0.0625", weights=str(file))
        assert not model.training
        assert all(torch.equal(v, narrow.state_dict()[k]) for k, v in model.state_dict().items())


def test_random_weights_are_data():
    model = load_model("vgglab:A,width=0.0625", data=True)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}


def test_weights_that_do_not_fit(tmp_path):
    file = tmp_path / "other.pt"
    torch.save(nn.Linear(2, 3).state_dict(), file)
    with pytest.raises(ValueError, match="do not fit the model"):
        load_model("vgglab:A,width=0.0625", weights=str(file))
    file.write_text("no weights")
    with pytest.raises(ValueError, match="cannot be read"):
        load_model("vgglab:A,width=0.0625", weights=str(file))


@pytest.mark.parametrize(
    "source", ["torchvision:vgg16", "vgglab:D", "timm:vgg16", "torch.nn:Flatten"]
)
def test_unknown_weights_name_what_is_accepted(source):
    with pytest.raises(ValueError, match=r"^weights for .* must be") as error:
        load_model(source, weights="BEST")
    assert "BEST" in str(error.value)


def test_named_weights_that_cannot_be_fetched(monkeypatch):
    def refused(*arguments, **options):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    with pytest.raises(ConnectionError, match="go online once"):
        load_model("torchvision:squeezenet1_1", weights="IMAGENET1K_V1")
