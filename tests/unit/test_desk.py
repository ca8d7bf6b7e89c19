"""desk: what it keeps when two ask for one table, and what it says of a supervisor that it does not understand."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from fastsip.desk.tables import keep
from fastsip.process.launch import LINE_FD, pair
from fastsip.process.messages import PROTOCOL, ReadTable
from fastsip.sources.rows import Reading, Row
from tests.conftest import ROOT


def test_two_reads_of_one_table_are_kept_one_after_the_other(scratch):
    order = ReadTable(name="db", origin="o", url="", table="t", columns="kamailio", state_dir=str(scratch))
    rows = [Row(where="id 1", setid=1, uri=f"sip:192.0.2.{number % 250}", name="x" * number) for number in range(400)]
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda row: keep(order, Reading(at=1.0, rows=(row,))), rows))
    assert {why for _, why in ends} == {""}


def test_what_is_not_understood_is_not_said(tmp_path):
    """It may be a URL with a password, of another release."""
    ours, theirs = pair()
    spawn = f"import os, sys; os.dup2({theirs.fileno()}, {LINE_FD}); os.execv(sys.executable, sys.argv[1:])"
    argv = [sys.executable, "-c", spawn, sys.executable, "-m", "fastsip.desk"]
    with subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True, pass_fds=[theirs.fileno()]) as desk:
        theirs.close()
        ours.send(json.dumps({"v": PROTOCOL + 1, "what": "read table", "url": "mysql://u:s3cret@h/d"}).encode())
        ours.close()
        said = desk.communicate(timeout=20)[1]
    assert "another protocol" in said and "s3cret" not in said and desk.returncode == 0
