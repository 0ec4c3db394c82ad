"""Measures the bundles in a folder where a GPU is: `python -m refold.measure FOLDER`, with torch and triton alone."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from refold.errors import UsageError
from refold.measure.case import adjusted, found, read

EXIT = {"proved": 0, "refuted": 1, "unknown": 3}


def main() -> int:
    """Prints a table for each case; the exit code is 1 where a result is wrong and 3 where one was not checked."""
    parser = argparse.ArgumentParser(prog="python -m refold.measure", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lengths", default="", metavar="N,N", help="what the swept axes are long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, a list of objects")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="a picture NAME.svg of each")
    options = parser.parse_args()
    from refold.measure.chart import chart
    from refold.measure.device import usable
    from refold.measure.lines import plain, verdict

    usable()
    from refold.measure import timing
    from refold.measure.run import measure

    ceilings, results = timing.ceilings("cuda"), []
    for path in found(options.folder):
        case = adjusted(read(path), lengths=options.lengths)
        results.append(measure(case, path.parent, ceilings=ceilings))
        print(plain(results[-1]), flush=True)
        if options.plot:
            options.plot.mkdir(parents=True, exist_ok=True)
            (options.plot / f"{case.name}.svg").write_text(chart(results[-1]), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    verdicts = {verdict(r) for r in results}
    return EXIT["refuted" if "refuted" in verdicts else "unknown" if "unknown" in verdicts else "proved"]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
