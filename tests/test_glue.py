import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from vgglab.course.glue import glue


def test_glue_makes_the_output_that_myst_nb_reads():
    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            glue("ratio", 0.25)
            glue("name", "fc6")
    finally:
        InteractiveShell.clear_instance()
    first, second = captured.outputs
    assert first.data == {"application/papermill.record/text/plain": "0.25"}
    assert first.metadata["scrapbook"] == {
        "name": "ratio",
        "mime_prefix": "application/papermill.record/",
    }
    assert second.data == {"application/papermill.record/text/plain": "'fc6'"}


def test_bad_names_are_named():
    with pytest.raises(TypeError, match="name must be a string; got 3"):
        glue(3, 4)
    with pytest.raises(ValueError, match="name must not be empty"):
        glue("", 4)
