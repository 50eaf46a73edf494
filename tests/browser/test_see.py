"""The trained networks in a page: their answers beside torch's, and the page as readers use it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_pdf import BROWSERS
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sampling import sampled
from torch import Tensor, nn

from vgglab.convert import fc_to_conv
from vgglab.figures.see import FOLDER, HEADS, rounded_network, see, weights_script
from vgglab.lab.maps import class_activation_map
from vgglab.lab.repairs import REPAIRS, Case, apply_repair
from vgglab.lab.training import normalise

from .conftest import BARE, FLAGS, MODES, Visit, faults, from_file

pytestmark = pytest.mark.browser

ANSWERS = """async (host, [head, side, pixels]) => {
  const network = await host.load(head);
  const picture = { channels: 3, height: side, width: side, data: Float32Array.from(pixels) };
  const plain = map => map && { sides: [map.channels, map.height, map.width], data: [...map.data] };
  const maps = await network.maps(picture);
  const found = head === "gap" ? host.gapOf(network, maps)
    : await host.answersOf(network, picture, maps);
  return { ...found, map: plain(maps.at(-1)), scores: plain(found.scores) };
}"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("see")
    (folder / FOLDER).mkdir()
    for head in HEADS:
        (folder / FOLDER / f"{head}.js").write_text(weights_script(head), encoding="utf-8")
    path = folder / "see.html"
    path.write_text(BARE.replace("%s", see()), encoding="utf-8")
    return path


@pytest.fixture
def bare(contexts: dict[str, BrowserContext], path: Path) -> Iterator[Page]:
    with from_file(contexts["light"], path) as page:
        done(page, "cat, 112 × 112 px.")
        yield page


def done(page: Page, state: str) -> None:
    """Wait until the page has shown everything."""
    expect(page.locator("#state")).to_have_text(state, timeout=60_000)


def picture(side: int, seed: int) -> Tensor:
    """An image (1, 3, side, side): spots of all sizes."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 5, generator=generator)
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    noise = torch.rand(1, 3, side, side, generator=generator)
    return (255 * (0.8 * smooth + 0.2 * noise)).clamp(0, 255).to(torch.uint8)


def shown(page: Page, head: str, image: Tensor) -> dict[str, Any]:
    arguments = [head, image.shape[-1], image.flatten().tolist()]
    return page.locator("vgglab-see").evaluate(ANSWERS, arguments)


def far(mine: Any, right: Tensor) -> float:
    """The largest difference between numbers of the page and torch's."""
    if isinstance(mine, dict):
        mine = torch.tensor(mine["data"]).reshape(mine["sides"])
    return float((torch.as_tensor(mine) - right.squeeze(0)).abs().max())


@pytest.mark.sampled
@torch.no_grad()
def test_every_repair_answers_as_torch_does(bare: Page) -> None:
    network = rounded_network("fc")
    for side in [28, *sampled([16, 20, 27, 29, 31, 32, 37, 48, 63, 96], 1)]:
        image = picture(side, seed=side)
        x = normalise(image)
        found = shown(bare, "fc", image)
        answers = found["answers"]
        assert far(found["map"], network.features(x)) < 1e-3
        if side < 28:
            assert found["scores"] is None
        else:
            scores = fc_to_conv(network, (1, 3, 28, 28))(x)
            assert far(found["scores"], scores) < 1e-3
        if side // 4 == 7:
            assert far(answers.pop("none"), network(x)) < 1e-3
        else:
            assert answers.pop("none") is None
        assert {*answers} == {name for name, repair in REPAIRS.items() if not repair.fresh}
        for name, answer in answers.items():
            repaired = apply_repair(name, Case(network, (1, 3, 28, 28), (1, 3, side, side)))
            assert (answer is None) == (repaired is None), (name, side)
            if repaired is not None:
                assert far(answer, repaired(x)) < 1e-3, (name, side)


@pytest.mark.sampled
@torch.no_grad()
def test_global_average_pooling_answers_as_torch_does(bare: Page) -> None:
    network = rounded_network("gap")
    for side in sampled([16, 31, 32, 50], 1):
        image = picture(side, seed=side)
        x = normalise(image)
        found = shown(bare, "gap", image)
        cam = class_activation_map(network, x)
        assert far(found["map"], network.features(x)) < 1e-3
        assert far(found["answer"], network(x)) < 1e-3
        assert far(found["scores"], cam.maps + cam.bias[:, None, None]) < 1e-3


# --- as readers use it ----------------------------------------------------------------------------


def row(page: Page, title: str) -> str:
    return page.locator("#answers tr").filter(has=page.get_by_text(title, exact=True)).inner_text()


def test_it_opens_with_a_network_that_stops_and_what_repairs_say(bare: Page) -> None:
    assert bare.locator("#verdict").inner_text() == "✗ The network stops"
    assert "(1x37632 and 2352x128)" in bare.locator("#message").inner_text()
    assert "Images of 28 to 31 px fit." in bare.locator("#why").inner_text()
    assert "✗ stops" in row(bare, "as it is")
    assert bare.locator("#answers .bar").count() == 3 * 8
    assert "22 × 22 answers" in bare.locator("#about").inner_text()
    sides = bare.locator("#maps li > span").all_text_contents()
    assert sides[0] == "convolution, ReLU: 24 × 112 × 112"
    assert sides[-1] == "max pooling: 48 × 28 × 28"


def test_by_keyboard_alone(bare: Page) -> None:
    bare.get_by_label("Image size in pixels").focus()
    bare.keyboard.press("Control+a")
    bare.keyboard.type("28")
    done(bare, "cat, 28 × 28 px.")
    assert bare.locator("#verdict").inner_text() == "✓ The network takes it"
    assert row(bare, "as it is").split("\n")[-3:] == row(bare, "resize").split("\n")[-3:]
    bare.get_by_label("Image size", exact=True).focus()
    bare.keyboard.press("ArrowLeft")
    done(bare, "cat, 27 × 27 px.")
    assert "needs 28 px" in row(bare, "crop")
    assert "smaller than the 28 px" in bare.locator("#about").inner_text()
    bare.get_by_role("button", name="flower").focus()
    style = "getComputedStyle(document.activeElement.shadowRoot.activeElement).outlineStyle"
    assert bare.evaluate(style) == "solid"
    bare.keyboard.press("Enter")
    done(bare, "flower, 27 × 27 px.")


def test_the_other_network_is_loaded_when_it_is_asked(bare: Page) -> None:
    assert bare.evaluate("Object.keys(vgglabWeights)") == ["fc"]
    bare.get_by_label("Image size in pixels").fill("40")
    done(bare, "cat, 40 × 40 px.")
    assert "not loaded" in row(bare, "global average pooling")
    bare.get_by_label("Map over the picture").select_option("gap")
    expect(bare.locator("#about")).to_contain_text("10 × 10 answers", timeout=60_000)
    assert "%" in row(bare, "global average pooling")
    bare.get_by_label("for the class").select_option("frog")
    assert "surer of “frog”" in bare.locator("#about").inner_text()


def test_a_photograph_of_ones_own(bare: Page, tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.fromarray(np.tile(np.arange(255, dtype=np.uint8), (60, 1))).save(wide)
    bare.get_by_label("Image size in pixels").fill("30")
    bare.get_by_label("Your photograph").set_input_files(wide)
    done(bare, "wide.png, 30 × 30 px.")
    seen = bare.locator("vgglab-see").evaluate("host => [host.small.data[0], host.small.data[29]]")
    assert 97 <= seen[0] < seen[1] <= 157  # the middle square
    (tmp_path / "text.png").write_text("no picture")
    bare.get_by_label("Your photograph").set_input_files(tmp_path / "text.png")
    done(bare, "text.png is no picture that this browser can read.")


def test_weights_that_are_not_there_are_said_in_a_sentence(
    contexts: dict[str, BrowserContext], path: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "see.html"
    alone.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    page = contexts["light"].new_page()
    page.goto(alone.as_uri())
    expect(page.locator("#state")).to_contain_text("weights cannot be read")
    page.close()


@pytest.mark.wide
def test_the_camera(browser: Browser, path: Path) -> None:
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    executable = next(filter(None, map(shutil.which, BROWSERS)))
    other = browser.browser_type.launch(executable_path=executable, args=[*FLAGS, *fake])
    page = other.new_page()
    page.goto(path.as_uri())
    page.get_by_label("Image size in pixels").fill("28")
    done(page, "cat, 28 × 28 px.")
    page.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name="Take the picture").click()
    done(page, "camera, 28 × 28 px.")
    assert page.locator("video").is_hidden()
    other.close()


@pytest.mark.sampled
@pytest.mark.parametrize("mode", sampled(MODES, 1))
def test_looks(visit: Visit, mode: str) -> None:
    page = visit("see.html", mode)
    done(page, "cat, 112 × 112 px.")
    assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]
    assert faults(page) == []


def test_readers_without_scripts_see_a_picture(browser: Browser, base_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(base_url + "see.html")
    assert page.locator("vgglab-see img").is_visible()
    assert "needs scripts" in page.locator("vgglab-see").inner_text()
    context.close()
