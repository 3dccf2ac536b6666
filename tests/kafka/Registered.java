import java.net.URI;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.*;
import java.util.stream.Collectors;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.avro.Schema;
import org.apache.avro.generic.*;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Reads a topic as any client of a schema registry does: by the id in each value; prints the records as JSON. */
public class Registered {
    static final Map<Integer, Schema> KNOWN = new HashMap<>();

    public static void main(String[] args) throws Exception {
        String brokers = args[0], topic = args[1], registry = args[2];
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
                    System.out.println(record.value() == null ? "null" : decoded(registry, record.value()));
                }
            }
        }
    }

    static String decoded(String registry, byte[] value) throws Exception {
        ByteBuffer buffer = ByteBuffer.wrap(value);
        if (buffer.get() != 0) {
            return "another format";
        }
        int id = buffer.getInt();
        if (!KNOWN.containsKey(id)) {
            var request = HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id)).build();
            var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
            KNOWN.put(id, new Schema.Parser().parse(new ObjectMapper().readTree(answer).get("schema").asText()));
        }
        var reader = new GenericDatumReader<GenericRecord>(KNOWN.get(id));
        var decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null);
        GenericRecord record = reader.read(null, decoder);
        if (!decoder.isEnd()) {
            throw new IllegalStateException("bytes are left of a record with schema " + id);
        }
        return record.getSchema().getName() + "\t" + record.get(name(record));
    }

    /** What a record is known by: the first of its fields that names it. */
    static String name(GenericRecord record) {
        for (String field : List.of("call_id", "event_id", "lead_id")) {
            if (record.getSchema().getField(field) != null) {
                return field;
            }
        }
        throw new IllegalStateException(record.getSchema().toString());
    }
}
