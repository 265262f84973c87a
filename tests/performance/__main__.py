"""`python -m tests.performance [gateway|log|workers]`: all figures, or one part."""

import sys

from tests.performance import gateway, log, workers

PARTS = {"log": log.report, "gateway": gateway.report, "workers": workers.report}

for part in sys.argv[1:] or PARTS:
    sys.stdout.write(f"== {part}\n")
    PARTS[part]()
