import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.io.IOException;
import java.time.Duration;
import java.time.OffsetDateTime;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.windowing.WindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/** New calls per tenant and minute, without duplicates, exactly once. Arguments: brokers, input, output, state folder. */
public final class Peer {
  /** What is read of a body; fields as Flink's own serializer wants them. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  public static class Call {
    @JsonProperty("resource_id")
    public String id;

    @JsonProperty("company_resource_id")
    public String company;

    @JsonProperty("start_time")
    public String startTime;
  }

  /** JSON bodies. */
  public static class Calls implements DeserializationSchema<Call> {
    private transient ObjectReader reader;

    @Override
    public Call deserialize(byte[] body) throws IOException {
      if (reader == null) {
        reader = new ObjectMapper().readerFor(Call.class);
      }
      return reader.readValue(body);
    }

    @Override
    public boolean isEndOfStream(Call call) {
      return false;
    }

    @Override
    public TypeInformation<Call> getProducedType() {
      return TypeInformation.of(Call.class);
    }
  }

  /** Lets the first call of an id pass. */
  public static class Dedupe extends KeyedProcessFunction<String, Call, Call> {
    private transient MapState<String, Boolean> seen;

    @Override
    public void open(OpenContext context) {
      seen = getRuntimeContext().getMapState(new MapStateDescriptor<>("seen", String.class, Boolean.class));
    }

    @Override
    public void processElement(Call call, Context context, Collector<Call> out) throws Exception {
      if (!seen.contains(call.id)) {
        seen.put(call.id, Boolean.TRUE);
        out.collect(call);
      }
    }
  }

  /** Counts. */
  public static class Count implements AggregateFunction<Call, Long, Long> {
    @Override
    public Long createAccumulator() {
      return 0L;
    }

    @Override
    public Long add(Call call, Long count) {
      return count + 1;
    }

    @Override
    public Long getResult(Long count) {
      return count;
    }

    @Override
    public Long merge(Long one, Long other) {
      return one + other;
    }
  }

  /** A window as JSON. */
  public static class Write implements WindowFunction<Long, String, String, TimeWindow> {
    @Override
    public void apply(String company, TimeWindow window, Iterable<Long> counts, Collector<String> out) {
      for (Long count : counts) {
        out.collect("{\"company\":\"" + company + "\",\"start\":" + window.getStart() + ",\"calls\":" + count + "}");
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0], input = arguments[1], output = arguments[2], state = arguments[3];
    Configuration configuration = new Configuration();
    configuration.set(StateBackendOptions.STATE_BACKEND, "hashmap");
    configuration.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
    configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + state);
    configuration.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(64));
    configuration.set(TaskManagerOptions.NETWORK_MEMORY_MIN, MemorySize.ofMebiBytes(64));
    configuration.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.ofMebiBytes(64));
    configuration.set(PipelineOptions.OBJECT_REUSE, true);
    StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(2, configuration);
    environment.enableCheckpointing(1_000, CheckpointingMode.EXACTLY_ONCE);
    // The end of what is there closes the last windows.
    KafkaSource<Call> source =
        KafkaSource.<Call>builder()
            .setBootstrapServers(brokers)
            .setTopics(input)
            .setGroupId("peer-flink")
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setBounded(OffsetsInitializer.latest())
            .setValueOnlyDeserializer(new Calls())
            .setProperty("max.poll.records", "2000")
            .build();
    WatermarkStrategy<Call> times =
        WatermarkStrategy.<Call>forBoundedOutOfOrderness(Duration.ofSeconds(60))
            .withTimestampAssigner(
                (call, before) -> OffsetDateTime.parse(call.startTime).toInstant().toEpochMilli());
    DataStream<String> windows =
        environment
            .fromSource(source, times, "calls")
            .keyBy(call -> call.company)
            .process(new Dedupe())
            .keyBy(call -> call.company)
            .window(TumblingEventTimeWindows.of(Duration.ofMinutes(1)))
            .aggregate(new Count(), new Write());
    windows.sinkTo(
        KafkaSink.<String>builder()
            .setBootstrapServers(brokers)
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix("peer-flink")
            .setProperty("transaction.timeout.ms", "120000")
            .setRecordSerializer(
                KafkaRecordSerializationSchema.<String>builder()
                    .setTopic(output)
                    .setValueSerializationSchema(new SimpleStringSchema())
                    .build())
            .build());
    environment.execute("peer-flink");
    // What it has used is read from outside before it ends.
    Thread.currentThread().join();
  }
}
