import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/** New calls per tenant and minute, without duplicates, exactly once. Arguments: brokers, input, output, state folder. */
public final class Peer {
  /** What is read of a body. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  public record Call(
      @JsonProperty("resource_id") String id,
      @JsonProperty("company_resource_id") String company,
      @JsonProperty("start_time") String startTime) {}

  private static final String SEEN = "seen";
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final ObjectReader CALLS = JSON.readerFor(Call.class);

  /** Lets the first call of an id pass. */
  private static final class Dedupe implements FixedKeyProcessor<String, Call, Call> {
    private FixedKeyProcessorContext<String, Call> context;
    private KeyValueStore<String, Long> seen;

    @Override
    public void init(FixedKeyProcessorContext<String, Call> context) {
      this.context = context;
      seen = context.getStateStore(SEEN);
    }

    @Override
    public void process(FixedKeyRecord<String, Call> record) {
      String key = record.key() + '/' + record.value().id();
      if (seen.putIfAbsent(key, record.timestamp()) == null) {
        context.forward(record);
      }
    }
  }

  private static Serde<Call> calls() {
    return Serdes.serdeFrom(
        (topic, call) -> {
          try {
            return JSON.writeValueAsBytes(call);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        },
        (topic, bytes) -> {
          try {
            return CALLS.readValue(bytes);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        });
  }

  public static void main(String[] arguments) throws InterruptedException {
    String brokers = arguments[0], input = arguments[1], output = arguments[2], state = arguments[3];
    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(SEEN), Serdes.String(), Serdes.Long()));
    builder.stream(
            input,
            Consumed.with(Serdes.String(), calls())
                .withTimestampExtractor(
                    (record, before) ->
                        OffsetDateTime.parse(((Call) record.value()).startTime()).toInstant().toEpochMilli()))
        .processValues(Dedupe::new, SEEN)
        .groupByKey(Grouped.with(Serdes.String(), calls()))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMinutes(1), Duration.ofHours(1)))
        .count(
            Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("windows")
                .withKeySerde(Serdes.String())
                .withValueSerde(Serdes.Long())
                .withRetention(Duration.ofHours(2)))
        .toStream()
        .map(
            (window, count) ->
                KeyValue.pair(
                    window.key(),
                    "{\"company\":\"" + window.key() + "\",\"start\":" + window.window().start() + ",\"calls\":" + count + "}"))
        .to(output, Produced.with(Serdes.String(), Serdes.String()));

    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-kafka-streams");
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1_000);
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, state);
    properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 2_000);
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20);
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 << 10);
    // Ten seconds, the default, are too few on a machine that is busy: the producer is fenced and its tasks are rebuilt.
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), 60_000);
    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
    streams.start();
    Thread.currentThread().join();
  }
}
