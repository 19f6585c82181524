# What dump.sh and broker.sh share: Apache Kafka, how its programs are run, the files they judge.
#
# Kafka comes as jars by way of mvn, as pom.xml says, into target/kafka/jars; it is fetched again only
# when pom.xml changes. ANABRANCH_KAFKA=skip leaves these proofs out where Kafka cannot be had; without
# it, not getting Kafka is a failure.
#
# A script is called with a directory that a broker of this crate has closed and a listing of the
# records in it (paths from the root of the repository, or absolute), one a line as Kafka's console
# consumer prints them, nulls as <null>:
#
#     CreateTime:1700000000000  Partition:0  Offset:0  name:value,name:value  key  value     (tabs)
#
# Without arguments both come from examples/kafka_files.rs. Names and values hold no tabs, no newlines
# and, in headers, no commas and colons.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LC_ALL=C # A character is a byte: sizes are counted, and the order of lines is the same everywhere.

work=${CARGO_TARGET_DIR:-target}/kafka
mkdir -p "$work"
work=$(cd "$work" && pwd)

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

if [ "${ANABRANCH_KAFKA:-}" = skip ]; then
    echo "SKIPPED: ANABRANCH_KAFKA=skip"
    exit 0
fi

# need COMMAND PACKAGE: has the command, or gets it where that can be done.
need() {
    if ! command -v "$1" >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
        echo "$1 is missing: installing $2"
        timeout 120 apt-get -qq update >/dev/null || true
        DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -qq install -y --no-install-recommends "$2" >/dev/null || true
    fi
    command -v "$1" >/dev/null || fail "$1 is missing; install $2, or set ANABRANCH_KAFKA=skip"
}

get_kafka() {
    need java default-jre-headless
    cmp -s tests/kafka/pom.xml "$work/jars/pom.xml" && return
    need mvn maven
    echo "fetching Kafka's jars"
    rm -rf "$work/jars"
    timeout 300 mvn -B -q -ntp -Dstyle.color=never -f tests/kafka/pom.xml dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$work/jars" ||
        fail "mvn did not get Kafka's jars; without them, set ANABRANCH_KAFKA=skip"
    cp tests/kafka/pom.xml "$work/jars/pom.xml"
}

JAVA=(
    java -cp "$work/jars/*" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1
    -Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8 -Dorg.slf4j.simpleLogger.showThreadName=false
)

# kafka CLASS ARGUMENT…: runs one of Kafka's programs, which says no more than it must.
kafka() {
    timeout 60 "${JAVA[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=error "$@"
}

# prepare [DIRECTORY LISTING]: sets `files` and `listing`, and has Kafka.
prepare() {
    case $# in
    0) files=$work/files listing=$work/listing ;;
    2) files=$1 listing=$2 ;;
    *) fail "usage: $0 [DIRECTORY LISTING]" ;;
    esac
    get_kafka
    if [ $# -eq 0 ]; then
        rm -rf "$files"
        cargo run --locked --quiet --release --all-features --example kafka_files -- "$files" >"$listing"
    fi
    [ -s "$listing" ] || fail "$listing lists no records"
    segments=0
    local partition here
    for partition in "$files"/*-[0-9]*/; do
        here=$(find "$partition" -name '*.log' | wc -l)
        segments=$((segments > here ? segments : here))
    done
    [ "$segments" -ge 3 ] || fail "no partition below $files has 3 segments or more, as the proof asks"
}

# How many records there are.
records() {
    wc -l <"$listing" | tr -d ' '
}
