import java.time.Duration;
import java.util.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A client that knows nothing of leadline: reads a topic, or asks how far a group is behind. */
public class Foreign {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "read" -> read(args[1], args[2]);
            case "lag" -> lag(args[1], args[2]);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    /** Prints partition, offset, key and value (hex) of all that is committed now. */
    static void read(String brokers, String topic) {
        Map<String, Object> config = Map.of("bootstrap.servers", brokers, "isolation.level", "read_committed",
            "enable.auto.commit", "false", "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> all = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition())).collect(Collectors.toList());
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            while (all.stream().anyMatch(place -> consumer.position(place) < ends.get(place))) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    String value = record.value() == null ? "" : HexFormat.of().formatHex(record.value());
                    System.out.println(record.partition() + "\t" + record.offset() + "\t"
                        + new String(record.key()) + "\t" + value);
                }
            }
        }
    }

    /** Prints topic, partition, committed offset and end of each that the group has an offset of. */
    static void lag(String brokers, String group) throws Exception {
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", brokers))) {
            var committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            var asked = committed.keySet().stream()
                .collect(Collectors.toMap(place -> place, place -> OffsetSpec.latest()));
            var options = new ListOffsetsOptions(org.apache.kafka.common.IsolationLevel.READ_COMMITTED);
            var ends = admin.listOffsets(asked, options).all().get();
            for (var place : committed.keySet()) {
                System.out.println(place.topic() + "\t" + place.partition() + "\t"
                    + committed.get(place).offset() + "\t" + ends.get(place).offset());
            }
        }
    }
}
