"""`python -m xai_repro` is the command line `xai-repro`."""
from xai_repro.workbook.cli import app

if __name__ == "__main__": app(prog_name="xai-repro")
