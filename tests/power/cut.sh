#!/usr/bin/env bash
# Power cuts on a real file system: sudo bash tests/power/cut.sh [CUTS] [SECONDS]
#
# Makes an ext4 in a file, mounts it through a loop device, lets a child of tests/kill.rs append to it
# and say what was acknowledged, and shuts the file system down under it, with nothing flushed: what
# was not synced is gone, as in a power cut. Then it mounts it again, which replays the journal, and
# compares what is there with what was said to be on disk. Each cut goes on in the directory of the
# one before.
#
# Not part of CI: it needs root, loop devices, mkfs.ext4 and python3. What it does not show is a disk
# that lies about its cache, or that tears sectors: the host keeps what the file system has sent.
# 20,000 cuts take some hours: sudo bash tests/power/cut.sh 20000 0.3
# To see it fail, count what was only written as well: sudo ANABRANCH_KILL_ALL=1 bash tests/power/cut.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
CUTS=${1:-20} SECONDS_EACH=${2:-0.5}
[ "$(id -u)" = 0 ] || { echo "it needs root, for mount and the shutdown of a file system"; exit 2; }

program=$(cargo test --release --test kill --no-run --message-format json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\/kill-[^"]*\)".*/\1/p' | tail -n 1)
[ -x "$program" ] || { echo "the test did not compile"; exit 2; }

place=$(mktemp -d)
mount=$place/mount image=$place/image said=$place/said
child=
tidy() {
    [ -z "$child" ] || kill -9 "$child" 2>/dev/null || true
    umount "$mount" 2>/dev/null || true
    rm -rf "$place"
}
trap tidy EXIT
mkdir "$mount"
truncate -s 1G "$image"
mkfs.ext4 -q -F "$image"

# run ROLE: the child, as tests/kill/child.rs starts it.
run() {
    ANABRANCH_KILL_CHILD=$mount/data ANABRANCH_KILL_ROLE=$1 ANABRANCH_KILL_SAID=$said exec "$program" \
        --exact kill::child::this_is_the_child --nocapture --test-threads=1
}

# EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
cut_power() {
    python3 - "$mount" <<'PYTHON'
import fcntl, os, struct, sys
place = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(place, 0x8004587D, struct.pack("I", 2))
PYTHON
}

: >"$said"
for ((cut = 1; cut <= CUTS; cut++)); do
    mount -o loop "$image" "$mount"
    # What the process says goes to a pipe, and from there to another file system.
    (run work) 2>"$place/errors" >>"$said" &
    child=$!
    sleep "$SECONDS_EACH"
    cut_power
    kill -9 "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
    child=
    umount "$mount"
    mount -o loop "$image" "$mount"
    if ! (run verify) >"$place/verdict" 2>&1; then
        cat "$place/verdict"
        echo "cut $cut: what was acknowledged is not there"
        exit 1
    fi
    echo "cut $cut: $(sed -n 's/^@verified \([0-9]*\) \([0-9]*\)$/\1 acknowledged, \2 torn/p' "$place/verdict")"
    if ((cut % 100 == 0)); then
        rm -rf "$mount/data"
        : >"$said"
    fi
    umount "$mount"
done
echo "$CUTS cuts, nothing that was acknowledged was lost"
