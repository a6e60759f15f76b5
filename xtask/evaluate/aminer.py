"""Runs AMiner over exported events: aminer.py EVENTS SCORES TREE WORK, with TREE where its packages were unpacked."""

import grp
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from events import Scores, destination, hosts

DETECTOR = "aminer"


def main(events, scores, tree, work):
    tree, work = Path(tree).resolve(), Path(work).resolve()
    shutil.rmtree(work, ignore_errors=True)
    state = work / "state"
    (state / "log").mkdir(parents=True)
    state.chmod(0o700)
    log, found = work / "events.log", work / "found.log"
    lines = 0
    with open(log, "w", encoding="utf-8") as to:
        for host, of_host in hosts(events):
            for of in of_host:
                # What goes on has the combination that it had when it was opened.
                if of["opened"]:
                    lines += 1
                    to.write(f"{host['host']} {of['identity']} {of['address']} {of['port']} {of['protocol']} {of['time']}\n")
    found.touch()
    here = Path(__file__).resolve().parent
    config = (here / "aminer_config.py").read_text(encoding="utf-8")
    for name, value in {
        "LOG": log,
        "STATE": state,
        "FOUND": found,
        "USER": pwd.getpwuid(os.getuid()).pw_name,
        "GROUP": grp.getgrgid(os.getgid()).gr_name,
    }.items():
        config = config.replace(f"@{name}@", str(value))
    (work / "config.py").write_text(config, encoding="utf-8")
    # It looks for itself where its package would be installed: its own file is told where that lies here.
    home = tree / "usr/lib/logdata-anomaly-miner"
    program = (home / "aminer.py").read_text(encoding="utf-8")
    paths = f"{str(home)!r}, {str(tree / 'usr/lib/python3/dist-packages')!r}"
    moved = home / "aminer-moved.py"
    moved.write_text(program.replace("'/usr/lib/logdata-anomaly-miner'", paths), encoding="utf-8")
    moved.chmod(0o755)
    said = subprocess.run(
        [str(moved), "--offline-mode", "--config", str(work / "config.py")], cwd=work, capture_output=True, text=True)
    told = found.read_text(encoding="utf-8").splitlines()
    if said.returncode != 0 or (lines and not told):
        sys.exit(f"aminer ended with {said.returncode} and told {len(told)} of {lines} lines:\n{said.stdout}{said.stderr}")
    to = Scores(scores)
    to.ran(DETECTOR, None)
    for line in told:
        host, identity, address, port, _, time = line.split(" ")
        to.alert(DETECTOR, None, host, int(time), identity, destination(address, port))
    to.close()
    print(f"{lines} lines, {len(told)} alerts")


if __name__ == "__main__":
    main(*sys.argv[1:])
