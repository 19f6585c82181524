#!/usr/bin/env bash
# Shows that Kafka's own dump tool finds nothing wrong with our files: bash tests/kafka/dump.sh
#
# DumpLogSegments reads every .log, record by record, every .index and every .timeindex. It prints its
# complaints and exits with 0 all the same, so what it prints is judged here: each batch is valid and
# follows the one before, each record is the one that was sent, each index entry is where it says.
# It shows the names of headers only; their values are compared by broker.sh. At last, wrong bytes are
# planted in a copy: the tool, and with it this script, must see them. See lib.sh for the arguments.
. "$(dirname "$0")/lib.sh"

# The tool writes an index file where one is missing, so it gets a copy.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

# named SUFFIX: those files, separated by commas.
named() {
    find "$copy/data" -name "*.$1" | sort | paste -sd, -
}

# dump ARGUMENT…: prints into $copy/out; fails if anything is said on the side, except that the first
# offset of a file is not 0, to which the tool objects always.
dump() {
    if ! kafka org.apache.kafka.tools.DumpLogSegments "$@" >"$copy/out" 2>"$copy/err"; then
        tail -n 5 "$copy/err"
        return 1
    fi
    awk '/^Non-consecutive offsets in / { split($NF, path, "/"); file = path[length(path)]; next }
         /^  -1 is followed by / && $NF == file + 0 { next }
         /^WARNING: / { next }
         { print "complaint: " $0; wrong = 1 }
         END { exit wrong }' "$copy/err"
}

# The records of the listing as the tool prints them, after their partition.
records_sent() {
    awk -F '\t' '
        function bytes(text) { return text == "<null>" ? -1 : length(text) }
        function part(name, text) { return text == "<null>" ? "" : " " name ": " text }
        {
            split($1, time, ":"); split($2, partition, ":"); split($3, offset, ":")
            count = $4 == "NO_HEADERS" ? 0 : split($4, header, ",")
            names = ""
            for (i = 1; i <= count; i++) {
                sub(/:.*/, "", header[i])
                names = names (i > 1 ? "," : "") header[i]
            }
            print partition[2] "\t| offset: " offset[2] " " time[1] ": " time[2] " keySize: " bytes($5) \
                " valueSize: " bytes($6) " sequence: -1 headerKeys: [" names "]" \
                part("key", $5) part("payload", $6)
        }' "$listing" | sort
}

records_dumped() {
    awk '/^Dumping / { n = split($2, path, "/"); partition = path[n - 1]; sub(/.*-/, "", partition) }
         /^\| offset: / { print partition "\t" $0 }' "$copy/out" | sort
}

# What the partitions' leader-epoch-checkpoint files say, as lines "epoch PARTITION EPOCH START".
epochs() {
    local file
    for file in "$copy"/data/*/leader-epoch-checkpoint; do
        [ ! -e "$file" ] || awk -v partition="$(basename "$(dirname "$file")")" \
            'NR > 2 { print "epoch", partition, $1, $2 }' "$file"
    done
}

# Each batch is valid, its offset and position follow from the one before, and its leader epoch is the
# one that the checkpoint has for that offset, 0 if it has none; no checksum covers the epoch.
batches_follow() {
    awk '
        /^epoch / { n = ++epochs[$2]; epoch[$2, n] = $3; start[$2, n] = $4; next }
        function epoch_at(offset,    i, found) {
            found = 0
            for (i = 1; i <= epochs[partition]; i++) if (start[partition, i] <= offset) found = epoch[partition, i]
            return found
        }
        /^Dumping / {
            n = split($2, path, "/")
            if (path[n - 1] != partition) next_offset = path[n] + 0
            partition = path[n - 1]; name = partition "/" path[n]; position = 0
            if (path[n] + 0 != next_offset) { print name ": expected offset " next_offset; wrong = 1 }
        }
        /^baseOffset: / {
            for (i = 1; i < NF; i++) if ($i ~ /:$/) field[$i] = $(i + 1)
            if (field["baseOffset:"] != next_offset || field["position:"] != position ||
                field["isvalid:"] != "true" || field["magic:"] != 2 ||
                field["partitionLeaderEpoch:"] != epoch_at(next_offset)) {
                print name ": expected a valid batch at offset " next_offset ", position " position \
                    ", of epoch " epoch_at(next_offset) ": " $0
                wrong = 1
            }
            next_offset = field["lastOffset:"] + 1
            position += field["size:"]
            count++
        }
        /^Found .* invalid bytes/ { print; wrong = 1 }
        END { print count + 0 " batches"; exit wrong }' <(epochs) "$copy/out"
}

logs_are_right() {
    dump --deep-iteration --print-data-log --files "$(named log)" &&
        batches_follow &&
        diff <(records_sent) <(records_dumped) | cut -c 1-200 | sed -n 1,20p
}

# entries SUFFIX BYTES WORD: the tool has printed every entry of these files, which it does not where
# it takes one for the end of those that were used.
entries() {
    local bytes printed
    bytes=$(find "$copy/data" -name "*.$1" -exec cat {} + | wc -c)
    printed=$(grep -c "^$3: " "$copy/out" || true)
    echo "$printed entries in *.$1"
    [ "$printed" -gt 0 ] && [ "$((printed * $2))" -eq "$bytes" ]
}

indexes_are_right() {
    local all
    all=$(named index),$(named timeindex)
    dump --files "$all" && entries index 8 offset && entries timeindex 12 timestamp
}

indexes_are_sane() {
    dump --index-sanity-check --files "$(named index),$(named timeindex)" &&
        [ "$(grep -cE ' passed sanity check\.$| is empty\.$' "$copy/out")" -eq "$(grep -c '^Dumping ' "$copy/out")" ]
}

# sees WHAT SUFFIX FROM_END CHECK: changes one byte of the last such file and looks again.
sees() {
    local file byte at
    file=$(find "$copy/data" -name "*.$2" -size +0 | sort | tail -n 1)
    at=$(($(wc -c <"$file") - $3))
    byte=$(od -An -tu1 -j "$at" -N 1 "$file")
    cp "$file" "$copy/whole"
    printf "$(printf '\\%03o' "$((byte ^ 1))")" | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
    if "$4" >"$copy/planted" 2>&1; then
        fail "planted, but not seen: $1"
    fi
    echo "planted and seen: $1: $(head -n 1 "$copy/planted" | sed "s|$copy/data/||" | cut -c 1-100)"
    cp "$copy/whole" "$file"
}

prepare "$@"
mkdir "$copy/data"
cp -R "$files"/*-[0-9]* "$copy/data"
for log in "$copy"/data/*/*.log; do
    for suffix in index timeindex; do
        [ -e "${log%log}$suffix" ] || fail "${log#"$copy/data/"} has no $suffix"
    done
done

logs_are_right || fail "the .log files are not what Kafka's tool takes for the listing"
indexes_are_right || fail "Kafka's tool finds an index wrong"
indexes_are_sane || fail "Kafka would rebuild an index"
sees "a byte of a record" log 1 logs_are_right
sees "a position in an index" index 1 indexes_are_right
sees "an offset in an index" index 5 indexes_are_right
sees "an offset in a time index" timeindex 1 indexes_are_right
sees "a time in a time index" timeindex 5 indexes_are_right
echo "Kafka's dump tool agrees: $(records) records, up to $segments segments a partition"
