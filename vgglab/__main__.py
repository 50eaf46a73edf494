"""``python -m vgglab``."""

from vgglab.cli import main

main(prog_name="vgglab")
