from vgglab.cli import main

main(prog_name="vgglab")
