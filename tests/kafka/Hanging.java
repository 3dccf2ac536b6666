import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.message.TxnOffsetCommitRequestData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.requests.*;

/**
 * Leaves a transaction behind that its coordinator does not know: a frame, an output and the group's offset, or the offset
 * or the output alone, under the transactional id of somebody who is there. Brokers leave such ones behind when they forget markers.
 */
public class Hanging {
    public static void main(String[] args) throws Exception {
        String brokers = args[0], id = args[1], group = args[2], prefix = args[3], commit = args[4], what = args[5];
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", brokers))) {
            // Or the broker would ask the coordinator, as it does since 3.6.
            verify(admin, "false");
            TransactionDescription known = admin.describeTransactions(List.of(id)).all().get().get(id);
            Header[] part = {new RecordHeader("commit", commit.getBytes()), new RecordHeader("part", "1/1".getBytes())};
            Map<String, SimpleRecord> records = new HashMap<>();
            if (what.equals("all")) {
                records.put("state", new SimpleRecord(System.currentTimeMillis(), "0".getBytes(), "hanging".getBytes(), part));
            }
            if (!what.equals("offsets")) {
                records.put("calls", new SimpleRecord(System.currentTimeMillis(), "call".getBytes(), "hanging".getBytes()));
            }
            for (var record : records.entrySet()) {
                TopicPartition place = new TopicPartition(prefix + record.getKey(), 0);
                int sequence = 0;
                for (ProducerState state : admin.describeProducers(List.of(place)).partitionResult(place).get().activeProducers()) {
                    if (state.producerId() == known.producerId() && state.producerEpoch() == known.producerEpoch()) {
                        sequence = state.lastSequence() + 1;
                    }
                }
                MemoryRecords batch = MemoryRecords.withTransactionalRecords(Compression.NONE, known.producerId(),
                    (short) known.producerEpoch(), sequence, record.getValue());
                produce(brokers, id, place, batch);
            }
            if (!what.equals("outputs")) {
                offsets(brokers, id, group, prefix, known, commit);
            }
            verify(admin, "true");
        }
    }

    static void verify(Admin admin, String value) throws Exception {
        ConfigResource all = new ConfigResource(ConfigResource.Type.BROKER, "");
        ConfigEntry entry = new ConfigEntry("transaction.partition.verification.enable", value);
        admin.incrementalAlterConfigs(Map.of(all, List.of(new AlterConfigOp(entry, OpType.SET)))).all().get();
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        while (!admin.describeConfigs(List.of(broker)).all().get().get(broker).get(entry.name()).value().equals(value)) {
            Thread.sleep(10);
        }
    }

    static void produce(String brokers, String id, TopicPartition place, MemoryRecords batch) throws Exception {
        var partition = new ProduceRequestData.PartitionProduceData().setIndex(place.partition()).setRecords(batch);
        var topic = new ProduceRequestData.TopicProduceData().setName(place.topic()).setPartitionData(List.of(partition));
        var data = new ProduceRequestData().setTransactionalId(id).setAcks((short) -1).setTimeoutMs(10_000);
        data.topicData().add(topic);
        ByteBuffer answer = ask(brokers, ApiKeys.PRODUCE, (short) 11, new ProduceRequest(data, (short) 11));
        var response = ProduceResponse.parse(new ByteBufferAccessor(answer), (short) 11);
        check(response.errorCounts());
    }

    static void offsets(String brokers, String id, String group, String prefix, TransactionDescription known, String commit)
        throws Exception {
        var data = new TxnOffsetCommitRequestData().setTransactionalId(id).setGroupId(group)
            .setProducerId(known.producerId()).setProducerEpoch((short) known.producerEpoch());
        for (String name : List.of("inbound", "replies")) {
            var partition = new TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition().setPartitionIndex(0)
                .setCommittedOffset(99).setCommittedMetadata(commit);
            data.topics().add(new TxnOffsetCommitRequestData.TxnOffsetCommitRequestTopic().setName(prefix + name)
                .setPartitions(List.of(partition)));
        }
        var request = new TxnOffsetCommitRequest(data, (short) 3);
        ByteBuffer answer = ask(brokers, ApiKeys.TXN_OFFSET_COMMIT, (short) 3, request);
        check(TxnOffsetCommitResponse.parse(new ByteBufferAccessor(answer), (short) 3).errorCounts());
    }

    static void check(Map<?, Integer> errors) {
        if (!errors.keySet().stream().allMatch(error -> error.toString().equals("NONE"))) {
            throw new IllegalStateException(errors.toString());
        }
    }

    /** One request on a connection of its own; the answer's body. */
    static ByteBuffer ask(String broker, ApiKeys kind, short version, AbstractRequest request) throws Exception {
        String[] address = broker.split(":");
        try (Socket socket = new Socket(address[0], Integer.parseInt(address[1]))) {
            ByteBuffer bytes = request.serializeWithHeader(new RequestHeader(kind, version, "hanging", 1));
            var out = new DataOutputStream(socket.getOutputStream());
            out.writeInt(bytes.remaining());
            out.write(bytes.array(), bytes.arrayOffset() + bytes.position(), bytes.remaining());
            out.flush();
            var in = new DataInputStream(socket.getInputStream());
            byte[] answer = new byte[in.readInt()];
            in.readFully(answer);
            ByteBuffer body = ByteBuffer.wrap(answer);
            ResponseHeader.parse(body, kind.responseHeaderVersion(version));
            return body;
        }
    }
}
