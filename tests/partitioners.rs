//! The partitioners against Kafka's and librdkafka's own answers, and against a model of the rules.
//!
//! Provenance of the vectors: `tests/data/kafka/PARTITIONERS.md`. In one process no partition is
//! ever without a leader and none sits on a slow broker: of the scenarios in Kafka's own tests,
//! `unavailablePartitionsTest` and the availability timeout of `testAdaptiveBuiltInPartitioner`
//! have no counterpart here.

#![expect(clippy::cast_possible_truncation, reason = "tests count to a few thousand")]

use anabranch::partitioner::{
    ConsistentRandomPartitioner, DefaultPartitioner, HashPartitioner, Murmur2Partitioner,
    Partitioner, RoundRobinPartitioner, StickyPartitioner, TopicView, murmur2,
};
use anabranch::{Header, PartitionId, Record};
use proptest::prelude::*;
use support::{Accumulator, Draws, Seeded, Vectors, keyless, positive};

mod keyed {
    use super::*;

    /// All four partitioners that hash with murmur2, the last one as a user would write it.
    fn by_murmur2() -> [Box<dyn Partitioner>; 4] {
        [
            Box::new(DefaultPartitioner::default()),
            Box::new(StickyPartitioner::default()),
            Box::new(Murmur2Partitioner::new()),
            Box::new(HashPartitioner::new("murmur2", |key| positive(murmur2(key)))),
        ]
    }

    /// Every key of the vectors, among every partition count they give.
    #[test]
    fn keys_go_where_kafka_puts_them() {
        let vectors = Vectors::read();
        let partitioners = by_murmur2();
        let mut checked = 0;
        for vector in vectors.kafka_published.iter().chain(&vectors.murmur2) {
            let key = vector.key();
            assert_eq!(key.len(), vector.len);
            assert_eq!(murmur2(&key), vector.murmur2, "{}", vector.key_hex);
            assert_eq!(positive(murmur2(&key)), vector.positive, "{}", vector.key_hex);
            for (count, expected) in &vector.partition {
                let topic = TopicView::new("t", *count);
                for partitioner in &partitioners {
                    let chosen = partitioner.partition(&keyless().with_key(&key), &topic);
                    assert_eq!(chosen, *expected, "{} of {count}", vector.key_hex);
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, (6 + 397) * 8 * 4);
    }

    #[test]
    fn a_million_keys_spread_as_in_kafka() {
        let (mut checked, partitioner) = (0, DefaultPartitioner::default());
        for bulk in &Vectors::read().bulk {
            let topic = TopicView::new("t", bulk.partitions);
            let (mut sum, mut xor) = (0_i64, 0_i32);
            let mut per_partition = vec![0_u64; bulk.per_partition_counts.len()];
            for i in 0..bulk.count {
                let key = format!("{}{i}", bulk.prefix);
                sum += i64::from(murmur2(key.as_bytes()));
                xor ^= murmur2(key.as_bytes());
                let chosen = partitioner.partition(&keyless().with_key(&key), &topic);
                per_partition[chosen as usize] += 1;
                checked += 1;
            }
            assert_eq!((sum, xor), (bulk.sum_of_signed_hashes, bulk.xor_of_hashes));
            assert_eq!(per_partition, bulk.per_partition_counts);
        }
        assert_eq!(checked, 1_200_000);
    }

    /// The keys and hashes of librdkafka's test 0048, among its 7 and 17 partitions.
    #[test]
    fn keys_go_where_librdkafka_puts_them() {
        /// librdkafka's FNV-1a: the sign is dropped by taking the absolute value.
        fn fnv1a(key: &[u8]) -> u32 {
            let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
            key.iter().fold(0x811c_9dc5, mix).cast_signed().unsigned_abs()
        }
        let long = "this is another string with more length to it perhaps";
        let crc32 = [("23456", 0xb1b4_51d7), (long, 0xb015_0df7), ("hejsan", 0xd077_037e)];
        let murmur2 = [("", 0x106e_08d9), ("23456", 0x058d_780f), (long, 0x4f77_03da)];
        let fnv = [("", 0x7ee3_623b), ("23456", 0x27e6_f469), (long, 0x155e_3e5f)];
        let mut checked = 0;
        let mut check = |partitioner: &dyn Partitioner, keys: [(&str, u32); 3]| {
            for ((key, hash), count) in keys.into_iter().flat_map(|key| [(key, 7), (key, 17)]) {
                let topic = TopicView::new("t", count);
                let chosen = partitioner.partition(&keyless().with_key(key), &topic);
                assert_eq!(chosen, hash % count, "{key:?} of {count}");
                checked += 1;
            }
        };
        check(&ConsistentRandomPartitioner::new(), crc32);
        check(&Murmur2Partitioner::new(), murmur2);
        check(&HashPartitioner::new("fnv1a", fnv1a), fnv);
        assert_eq!(checked, 3 * 3 * 2);
    }

    /// An empty key is a key, a null key is none; for librdkafka's default both are none.
    #[test]
    fn no_key_and_an_empty_key_are_told_apart() {
        let topic = TopicView::new("t", 1_000);
        let empty = keyless().with_key("");
        for partitioner in by_murmur2() {
            assert_eq!(partitioner.partition(&empty, &topic), 681);
        }
        let draws = Draws::new();
        let random = Murmur2Partitioner::new().with_random(draws.source());
        assert_eq!(
            [empty, keyless(), keyless()].map(|r| random.partition(&r, &topic)),
            [681, 0, 1]
        );

        let draws = Draws::new();
        let crc32 = ConsistentRandomPartitioner::new().with_random(draws.source());
        assert_eq!([empty, keyless(), empty].map(|r| crc32.partition(&r, &topic)), [0, 1, 2]);
    }

    #[test]
    fn a_topic_of_one_partition_leaves_no_choice() {
        let topic = TopicView::new("t", 1);
        let mut all: Vec<Box<dyn Partitioner>> = by_murmur2().into();
        all.push(Box::new(ConsistentRandomPartitioner::new()));
        all.push(Box::new(RoundRobinPartitioner::new()));
        for partitioner in all {
            for record in [keyless(), keyless().with_key("k"), keyless().with_key("")] {
                for _ in 0..3 {
                    assert_eq!(partitioner.partition(&record, &topic), 0);
                    partitioner.appended(&record, 0, 20_000, &topic);
                }
            }
        }
    }
}

mod keyless_records {
    use super::*;

    /// Every step of Kafka's traces, for both partitioners that follow them. A change can be seen
    /// from outside as a draw of chance. Where partitions have no leader, the rest is renumbered.
    #[test]
    fn keyless_records_stick_and_change_as_in_kafka() {
        let (mut steps, mut changes, mut put_off) = (0, 0, 0);
        for trace in &Vectors::read().sticky_traces {
            let available: Vec<u32> =
                (0..trace.partitions).filter(|p| !trace.unavailable.contains(p)).collect();
            let names: Vec<u32> =
                if available.is_empty() { (0..trace.partitions).collect() } else { available };
            let draws = [Draws::new(), Draws::new()];
            let bytes = trace.sticky_batch_size;
            let partitioners: [Box<dyn Partitioner>; 2] = [
                Box::new(DefaultPartitioner::new(bytes).with_random(draws[0].source())),
                Box::new(StickyPartitioner::new(bytes).with_random(draws[1].source())),
            ];
            let all: Vec<u32> = (0..trace.partitions).collect();
            // While it is open a batch puts a change off; this trace decides at the append.
            let closed = TopicView::new("t", names.len() as u32).with_open_batches(&[]);
            let open = closed.with_open_batches(&all);
            for (partitioner, draws) in partitioners.iter().zip(&draws) {
                for step in &trace.steps {
                    let chosen = partitioner.partition(&keyless(), &open);
                    assert_eq!(names[chosen as usize], step.partition);
                    let before = draws.count();
                    let topic = if step.enable_switch { &closed } else { &open };
                    partitioner.appended(&keyless(), chosen, step.append_bytes, topic);
                    assert_eq!(draws.count() - before, u32::from(step.switched));
                    steps += 1;
                    changes += u32::from(step.switched);
                    put_off += u32::from(!step.enable_switch && !step.switched);
                }
            }
        }
        assert_eq!(steps, 2 * 943);
        assert!(changes > 500 && put_off > 200, "{changes} changes, {put_off} put off");
    }

    /// Kafka's `testStickyPartitioning`.
    #[test]
    fn three_records_stay_and_the_fourth_goes_elsewhere() {
        let topic = TopicView::new("t", 3);
        let partitioner = DefaultPartitioner::new(3).with_random(Draws::new().source());
        let chosen = [0; 7].map(|_| {
            let chosen = partitioner.partition(&keyless(), &topic);
            partitioner.appended(&keyless(), chosen, 1, &topic);
            chosen
        });
        assert_eq!(chosen, [0, 0, 0, 1, 1, 1, 2]);
    }

    /// Kafka's `testUniformBuiltInPartitioner`: a batch of 1,024 bytes, records that overfill it.
    /// Nothing is ever drained there, and queue lengths play no part yet.
    #[test]
    fn a_change_put_off_by_an_open_batch_is_made_up_for() {
        let draws = Draws::new();
        let partitioner = StickyPartitioner::new(1_024).with_random(draws.source());
        let mut accumulator = Accumulator::new(3, 1_024);
        let (small, large) = (10, 1_034);
        let sent = [small, large, large, large, large]
            .map(|bytes| (accumulator.append(&partitioner, keyless(), bytes), draws.count()));
        assert_eq!(sent, [(0, 1), (0, 1), (1, 2), (2, 3), (0, 4)]);
    }

    /// Kafka's `testBuiltInPartitionerFractionalBatches`: ten times two thirds of a batch, then a
    /// pause in which what lingers is sent. No batch is split between two partitions.
    #[test]
    fn lingering_batches_are_not_left_in_fractions() {
        let partitioner = DefaultPartitioner::new(512).with_random(Seeded::new(7).source());
        let mut accumulator = Accumulator::new(3, 512);
        for _ in 0..10 {
            for _ in 0..512 * 2 / 3 / 32 {
                accumulator.append(&partitioner, keyless(), 32 + 7);
            }
            let sizes = accumulator.drain();
            assert_eq!(sizes.len(), 1, "{sizes:?}");
            assert!((257..512).contains(&sizes[0]), "{sizes:?}");
        }
    }

    /// A batch that never closes puts a change off up to twice its size, and no further.
    #[test]
    fn twice_the_batch_is_the_end_of_waiting() {
        let partitioner = StickyPartitioner::new(100).with_random(Draws::new().source());
        let topic = TopicView::new("t", 3).with_open_batches(&[0, 1, 2]);
        let mut append = |bytes| {
            let chosen = partitioner.partition(&keyless(), &topic);
            partitioner.appended(&keyless(), chosen, bytes, &topic);
            partitioner.partition(&keyless(), &topic)
        };
        assert_eq!([99, 1, 99, 1].map(&mut append), [0, 0, 0, 1]);
    }

    #[test]
    fn keyed_records_and_strangers_do_not_count() {
        let topic = TopicView::new("t", 3);
        for topic in [topic, topic.with_backlog(&[])] {
            let partitioner = DefaultPartitioner::new(100).with_random(Draws::new().source());
            assert_eq!(partitioner.partition(&keyless(), &topic), 0);
            partitioner.appended(&keyless().with_key("k"), 0, 1_000, &topic);
            partitioner.appended(&keyless(), 2, 1_000, &topic); // not the partition it sticks to
            assert_eq!(partitioner.partition(&keyless(), &topic), 0);
            partitioner.appended(&keyless(), 0, 100, &topic);
            assert_eq!(partitioner.partition(&keyless(), &topic), 1);
        }
    }

    #[test]
    fn a_keyed_record_that_closes_a_batch_stays_where_its_key_belongs() {
        let topic = TopicView::new("t", 3);
        let partitioner = DefaultPartitioner::new(100).with_random(Draws::new().source());
        let open = topic.with_open_batches(&[0]);
        assert_eq!(partitioner.partition(&keyless(), &open), 0);
        partitioner.appended(&keyless(), 0, 150, &open);
        assert_eq!(partitioner.batch_closed(&keyless().with_key("k"), 2, &topic), 2);
        assert_eq!(partitioner.batch_closed(&keyless(), 0, &topic), 1);
    }

    #[test]
    fn ignored_keys_stick_like_none() {
        let topic = TopicView::new("t", 3);
        let partitioner =
            DefaultPartitioner::new(100).with_random(Draws::new().source()).ignore_keys(true);
        let chosen = ["a", "b", "c", "d"].map(|key| {
            let record = keyless().with_key(key);
            let chosen = partitioner.partition(&record, &topic);
            partitioner.appended(&record, chosen, 50, &topic);
            chosen
        });
        assert_eq!(chosen, [0, 0, 1, 1]);
    }

    #[test]
    fn a_batch_of_no_bytes_is_refused() {
        let refused: [fn(); 3] = [
            || drop(DefaultPartitioner::new(0)),
            || drop(StickyPartitioner::new(0)),
            || drop(HashPartitioner::new("h", |_| 0).with_batch_bytes(0)),
        ];
        for new in refused {
            let message = *std::panic::catch_unwind(new).unwrap_err().downcast::<&str>().unwrap();
            assert_eq!(message, "batch_bytes is 0, it must be at least 1");
        }
    }

    /// Partition 0 sends batches of 500 bytes, the others of 100: what is alike is the number of
    /// bytes. With one change per batch, as before KIP-794, 0 would get five times as many.
    #[test]
    fn partitions_get_the_same_bytes_whatever_their_batches() {
        let seed = 794;
        let sizes = Seeded::new(seed).source();
        let partitioner = StickyPartitioner::new(5_000).with_random(Seeded::new(seed + 1).source());
        let mut accumulator = Accumulator::new(4, 5_000);
        let mut bytes = [0_usize; 4];
        for _ in 0..300_000 {
            let size = 20 + sizes() as usize % 100;
            let chosen = accumulator.append(&partitioner, keyless(), size);
            let full = if chosen == 0 { 500 } else { 100 };
            if accumulator.queue(chosen)[0].bytes >= full {
                bytes[chosen as usize] += accumulator.drain_one(chosen);
            }
        }
        // A choice outlasts its share by up to one batch, which is a tenth of it for partition 0.
        let mean = bytes.iter().sum::<usize>() / 4;
        for partition in bytes {
            assert!(partition.abs_diff(mean) < mean / 10, "seed {seed}: {bytes:?}");
        }
    }

    /// Without queues and without a source of the caller's, on several threads at once.
    #[test]
    fn threads_that_send_at_once_spread_bytes_evenly() {
        let partitioner = DefaultPartitioner::new(100);
        let send = || {
            let mut bytes = [0_u64; 3];
            for _ in 0..300_000 {
                let topic = TopicView::new("t", 3);
                let chosen = partitioner.partition(&keyless(), &topic);
                partitioner.appended(&keyless(), chosen, 30, &topic);
                bytes[chosen as usize] += 30;
            }
            bytes
        };
        let all = std::thread::scope(|s| {
            let threads = [s.spawn(send), s.spawn(send), s.spawn(send)];
            threads.map(|thread| thread.join().unwrap())
        });
        for bytes in all {
            let mean = bytes.iter().sum::<u64>() / 3;
            assert!(bytes.iter().all(|b| b.abs_diff(mean) < mean / 20), "{all:?}");
        }
    }

    #[test]
    fn a_partition_that_was_added_is_used_from_the_next_change_on() {
        let partitioner = DefaultPartitioner::new(100).with_random(|| 3);
        let (three, four) = (TopicView::new("t", 3), TopicView::new("t", 4));
        assert_eq!(partitioner.partition(&keyless(), &three), 0);
        assert_eq!(partitioner.partition(&keyless(), &four), 0);
        partitioner.appended(&keyless(), 0, 100, &four);
        assert_eq!(partitioner.partition(&keyless(), &four), 3);
        assert_eq!(partitioner.partition(&keyless(), &three), 0, "fewer than was chosen among");
    }

    /// What the rules B-2 to B-8 say, word by word.
    #[derive(Default)]
    struct Model {
        current: Option<PartitionId>,
        produced: usize,
        draws: u32,
    }

    impl Model {
        fn draw(&mut self, count: u32) {
            self.current = Some(self.draws % count);
            self.produced = 0;
            self.draws += 1;
        }

        fn update(&mut self, bytes: usize, limit: usize, is_open: bool, count: u32) {
            self.produced += bytes;
            if (self.produced >= limit && !is_open) || self.produced >= 2 * limit {
                self.draw(count);
            }
        }
    }

    proptest! {
        #[test]
        fn any_course_of_events_follows_the_model(
            limit in 1_usize..50,
            count in 1_u32..6,
            has_queues: bool,
            events in prop::collection::vec((0_usize..60, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let draws = Draws::new();
            let partitioner = StickyPartitioner::new(limit).with_random(draws.source());
            let mut model = Model::default();
            let all: Vec<PartitionId> = (0..count).collect();
            for (bytes, open_before, open_after) in events {
                let view = |is_open: bool| match (has_queues, is_open) {
                    (false, _) => TopicView::new("t", count),
                    (true, false) => TopicView::new("t", count).with_backlog(&[]),
                    (true, true) => TopicView::new("t", count).with_open_batches(&all),
                };
                match model.current {
                    None => model.draw(count),
                    Some(_) => model.update(0, limit, has_queues && open_before, count),
                }
                let chosen = partitioner.partition(&keyless(), &view(open_before));
                prop_assert_eq!(Some(chosen), model.current);
                partitioner.appended(&keyless(), chosen, bytes, &view(open_after));
                model.update(bytes, limit, has_queues && open_after, count);
                prop_assert_eq!(draws.count(), model.draws);
            }
        }
    }
}

mod by_queue_length {
    use super::*;

    /// Kafka's tables as seen from outside: all partitions in the running, numbered as they come,
    /// and a change at every record. Counts over two cycles are exactly twice the weights.
    #[test]
    fn shorter_queues_get_more_exactly_as_in_kafka() {
        let (mut adaptive, mut uniform, mut choices) = (0, 0, 0);
        for table in &Vectors::read().adaptive_tables {
            let count = table.queue_sizes.len();
            if table.length < count {
                continue; // a partition without a leader; see load/tests.rs
            }
            let mut backlog = vec![0; count];
            for (partition, length) in table.partition_ids.iter().zip(&table.queue_sizes) {
                backlog[*partition as usize] = *length;
            }
            let topic = TopicView::new("t", count as u32).with_backlog(&backlog);
            let partitioner = DefaultPartitioner::new(1).with_random(Draws::new().source());
            let mut next = || {
                let chosen = partitioner.partition(&keyless(), &topic);
                partitioner.appended(&keyless(), chosen, 1, &topic);
                choices += 1;
                chosen
            };
            if table.adaptive {
                let mut frequency = vec![0; count];
                (0..2 * table.range_end.unwrap()).for_each(|_| frequency[next() as usize] += 1);
                let weights = table.frequency_by_partition_id.iter();
                assert_eq!(frequency, weights.map(|w| 2 * w).collect::<Vec<u32>>(), "{backlog:?}");
                adaptive += 1;
            } else {
                (0..2 * count as u32).for_each(|r| assert_eq!(next(), r % count as u32));
                uniform += 1;
            }
        }
        assert_eq!((adaptive, uniform), (41, 7));
        assert!(choices > 2 * 4_266, "{choices} choices");
    }

    /// Kafka's `testAdaptiveBuiltInPartitioner`, as far as there are no brokers in it.
    #[test]
    fn a_queue_of_seven_gets_a_fourteenth() {
        let topic = TopicView::new("t", 3).with_backlog(&[1, 7, 2]);
        let partitioner = DefaultPartitioner::new(1).with_random(Draws::new().source());
        let mut frequency = [0; 3];
        for _ in 0..2 * 14 {
            let chosen = partitioner.partition(&keyless(), &topic);
            partitioner.appended(&keyless(), chosen, 1, &topic);
            frequency[chosen as usize] += 1;
        }
        assert_eq!(frequency, [2 * 7, 2, 2 * 6]);
    }

    /// The batches pile up at partition 0, which is never drained: it is given less and less.
    #[test]
    fn a_partition_that_is_not_drained_is_given_less() {
        let adaptive = DefaultPartitioner::new(100).with_random(Seeded::new(1).source());
        let uniform = StickyPartitioner::new(100).with_random(Seeded::new(1).source());
        let [less, even] = [&adaptive as &dyn Partitioner, &uniform].map(|partitioner| {
            let mut accumulator = Accumulator::new(4, 100);
            (0..4).for_each(|p| accumulator.append_to(p, 100));
            let sent = (0..20_000).filter(|_| {
                let chosen = accumulator.append(partitioner, keyless(), 20);
                for other in 1..4 {
                    accumulator.drain_one(other);
                }
                chosen == 0
            });
            sent.count()
        });
        assert!(less < 500, "{less} of 20,000 records");
        assert!(even.abs_diff(5_000) < 500, "{even} of 20,000 records");
    }
}

mod in_turn {
    use super::*;

    #[test]
    fn records_go_round_as_in_kafka() {
        let mut checked = 0;
        for course in &Vectors::read().roundrobin_partitioner {
            let available: Vec<u32> =
                (0..course.partitions).filter(|p| !course.unavailable.contains(p)).collect();
            let names: Vec<u32> =
                if available.is_empty() { (0..course.partitions).collect() } else { available };
            let topic = TopicView::new("t", names.len() as u32);
            let partitioner = RoundRobinPartitioner::new();
            for expected in &course.first_20_partitions {
                let record = keyless().with_key("of no account");
                let chosen = partitioner.partition(&record, &topic);
                assert_eq!(names[chosen as usize], *expected);
                checked += 1;
            }
        }
        assert_eq!(checked, 6 * 20);
    }

    /// Kafka's `testRoundRobinWithKeyBytes`: another topic in between, with a partitioner of its own.
    #[test]
    fn what_goes_to_another_topic_does_not_count() {
        let (a, b) = (RoundRobinPartitioner::new(), RoundRobinPartitioner::new());
        let mut counts = [0; 3];
        for i in 0..30 {
            counts[a.partition(&keyless(), &TopicView::new("a", 3)) as usize] += 1;
            if i % 5 == 0 {
                assert_eq!(b.partition(&keyless(), &TopicView::new("b", 2)), i / 5 % 2);
            }
        }
        assert_eq!(counts, [10; 3]);
    }
}

mod of_your_own {
    use super::*;

    /// Only one method is written; the other two do nothing and change nothing.
    struct ByHeader;

    impl Partitioner for ByHeader {
        fn partition(&self, record: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
            record.headers.len() as u32 % topic.partition_count()
        }
    }

    #[test]
    fn one_method_makes_a_partitioner() {
        let boxed: Box<dyn Partitioner> = Box::new(ByHeader);
        let headers = [Header { name: "h", value: None }; 5];
        let record = keyless().with_headers(&headers);
        let topic = TopicView::new("t", 3);
        assert_eq!(boxed.partition(&record, &topic), 2);
        boxed.appended(&record, 2, 100, &topic);
        assert_eq!(boxed.batch_closed(&record, 2, &topic), 2);
    }

    /// A box passes on all three calls, or a boxed sticky partitioner would stick for ever.
    #[test]
    fn a_box_passes_every_call_on() {
        let sticky = StickyPartitioner::new(100).with_random(Draws::new().source());
        let boxed: Box<dyn Partitioner> = Box::new(Box::new(sticky));
        let closed = TopicView::new("t", 3).with_backlog(&[]);
        let open = closed.with_open_batches(&[0, 1, 2]);
        assert_eq!(boxed.partition(&keyless(), &open), 0);
        boxed.appended(&keyless(), 0, 150, &open);
        assert_eq!(boxed.batch_closed(&keyless(), 0, &closed), 1);
    }
}

#[path = "partitioners/support.rs"]
mod support;
