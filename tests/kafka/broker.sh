#!/usr/bin/env bash
# Shows that a real Kafka broker takes our files over as its own: bash tests/kafka/broker.sh
#
# A broker (one node, loopback only) creates two topics and is stopped. Our partition directories then
# take the place of both topics': of `orders` as they are, so that the broker trusts our indexes; of
# `rebuilt` without the indexes, so that it writes them anew. The broker starts again, and
#  - its console consumer reads exactly the records of the listing, then the record that Kafka's
#    console producer has sent behind them, to the partition that our producer chose for that key;
#  - it finds by time, through our time indexes, what the listing says;
#  - it complains of nothing in its log;
#  - after it has stopped, the records are still the bytes that we wrote, and the indexes that Kafka
#    has made for `rebuilt` are ours, byte by byte.
# Every wait is bounded, and the broker ends with this script. See lib.sh for the arguments.
. "$(dirname "$0")/lib.sh"

home=$(mktemp -d)
broker=

finish() {
    local status=$?
    if [ -n "$broker" ] && kill -0 "$broker" 2>/dev/null; then
        kill -KILL "$broker"
    fi
    if [ "$status" -ne 0 ] && [ -s "$home/broker.log" ]; then
        echo "the end of the broker's log:"
        tail -n 30 "$home/broker.log" | cut -c 1-300
    fi
    rm -rf "$home"
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

# within SECONDS COMMAND…: waits until the command succeeds.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# A port on which nobody listens, below those that are given out to clients.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        if [ "$port" != "${1:-}" ] && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

configure() {
    local port controller
    port=$(free_port)
    controller=$(free_port "$port")
    at=127.0.0.1:$port
    # Times are in the past, so nothing may be dropped for its age.
    cat >"$home/server.properties" <<END
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://$at,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://$at
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$home/data
log.retention.ms=-1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
END
    kafka kafka.tools.StorageTool format --config "$home/server.properties" --cluster-id YW5hYnJhbmNoLWNpLXRlcw >/dev/null
}

has_started() {
    ! kill -0 "$broker" 2>/dev/null || grep -q 'Kafka Server started' "$home/broker.log"
}

start_broker() {
    "${JAVA[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=info kafka.Kafka "$home/server.properties" \
        >"$home/broker.log" 2>&1 &
    broker=$!
    within 60 has_started && kill -0 "$broker" 2>/dev/null || fail "the broker did not start"
}

has_ended() {
    ! kill -0 "$broker" 2>/dev/null
}

stop_broker() {
    kill -TERM "$broker"
    within 60 has_ended || fail "the broker did not stop"
    wait "$broker" || [ $? -eq 143 ] || fail "the broker ended with an error"
    broker=
}

create_topic() {
    kafka org.apache.kafka.tools.TopicCommand --bootstrap-server "$at" --create --topic "$1" \
        --partitions "$partitions" --replication-factor 1 >/dev/null
}

# A broker knows a directory of its own by the topic id in partition.metadata, and sets others aside.
give() {
    local partition its
    for partition in "$files"/orders-[0-9]*; do
        its=$home/data/$1-${partition##*-}
        mv "$its/partition.metadata" "$home/partition.metadata"
        rm -r "$its"
        cp -R "$partition" "$its"
        mv "$home/partition.metadata" "$its/"
    done
}

offsets() {
    kafka org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$at" --topic orders --time "$1" | sort
}

# consume COUNT: so many records from the beginning of all partitions.
consume() {
    kafka org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$at" --topic orders \
        --from-beginning --max-messages "$1" --timeout-ms 20000 \
        --formatter-property print.timestamp=true --formatter-property print.partition=true \
        --formatter-property print.offset=true --formatter-property print.headers=true \
        --formatter-property print.key=true --formatter-property 'null.literal=<null>'
}

# offsets_sent TIME: of each partition the first offset with this time or a later one, as the listing
# has it; for -1 the end of the log, as with Kafka.
offsets_sent() {
    awk -F '\t' -v from="$1" '
        {
            split($1, time, ":"); split($2, partition, ":"); split($3, offset, ":")
            p = partition[2]; o = offset[2] + 0
            if (from < 0 && o >= found[p]) found[p] = o + 1
            if (from >= 0 && time[2] + 0 >= from && (!(p in found) || o < found[p])) found[p] = o
        }
        END { for (p in found) print "orders:" p ":" found[p] }' "$listing" | sort
}

# The time in the middle of all.
middle() {
    awk -F '[:\t]' '
        { if (NR == 1 || $2 < first) first = $2; if ($2 > last) last = $2 }
        END { printf "%.0f\n", (first + last) / 2 }' "$listing"
}

# same COMPLAINT EXPECTED FOUND
same() {
    diff "$2" "$3" | cut -c 1-200 | sed -n 1,20p || fail "$1"
}

# A key of the listing, and where it belongs.
choose_key() {
    read -r key key_partition < <(awk -F '\t' '$5 != "" && $5 != "<null>" { split($2, p, ":"); print $5, p[2]; exit }' "$listing")
}

# What the broker has to say against our partitions, except that indexes which were taken away are missing.
complaints() {
    grep -E '^(WARN|ERROR|FATAL) .*(orders|rebuilt)-[0-9]' "$home/broker.log" |
        grep -v 'Could not find offset index file corresponding to log file .*/rebuilt-' || true
}

prepare "$@"
partitions=$(find "$files" -maxdepth 1 -type d -name 'orders-[0-9]*' | wc -l | tr -d ' ')
choose_key
configure

start_broker
create_topic orders
create_topic rebuilt
stop_broker
give orders
give rebuilt
rm "$home"/data/rebuilt-*/*.index "$home"/data/rebuilt-*/*.timeindex
start_broker

same "the log ends elsewhere" <(offsets_sent -1) <(offsets -1)
same "what is looked up by time is found elsewhere" <(offsets_sent "$(middle)") <(offsets "$(middle)")

printf '%s\tand on it goes\n' "$key" |
    kafka org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$at" --topic orders \
        --reader-property parse.key=true >/dev/null
consume "$(($(records) + 1))" >"$home/consumed" 2>"$home/consumer.log" || true
# The consumer ends with 0 whatever it finds; what is missing shows below.
grep -E 'ERROR|Exception' "$home/consumer.log" | cut -c 1-200 || true
end=$(offsets_sent -1 | sed -n "s/^orders:$key_partition://p")
sed -n '/\tand on it goes$/!p' "$home/consumed" >"$home/ours"
sed -n '/\tand on it goes$/p' "$home/consumed" | cut -f 2- >"$home/theirs"
same "what is consumed is not what was sent" <(sort "$listing") <(sort "$home/ours")
same "what Kafka's producer sent is not where it belongs" \
    <(printf 'Partition:%s\tOffset:%s\tNO_HEADERS\t%s\tand on it goes\n' "$key_partition" "$end" "$key") "$home/theirs"

stop_broker
complaints >"$home/complaints"
same "the broker complains" /dev/null "$home/complaints"
for partition in "$files"/orders-[0-9]*; do
    number=${partition##*-}
    for file in "$partition"/*.log; do
        # One of them is longer now, by the record of Kafka's producer.
        cmp -n "$(wc -c <"$file")" "$file" "$home/data/orders-$number/${file##*/}" || fail "a record has changed"
    done
    for file in "$partition"/*.log "$partition"/*.index "$partition"/*.timeindex; do
        cmp "$file" "$home/data/rebuilt-$number/${file##*/}" || fail "Kafka makes another ${file##*/}"
    done
done
echo "a Kafka broker adopts: $(records) records in $partitions partitions, read, looked up by time, appended to; indexes as Kafka makes them"
