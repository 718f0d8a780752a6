"""Calls of Milvus' gRPC API without the SDK's retries, as messages or as bytes that are none."""

import subprocess
import tempfile

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

SERVICE = "/milvus.proto.milvus.MilvusService/"
BOOKS = "things"


class Raw:
    """One channel. Calls return the answer's message, or the grpc.StatusCode of a call that failed."""

    def __init__(self, port: int, token: str = ""):
        self.address = f"127.0.0.1:{port}"
        self.channel = grpc.insecure_channel(self.address, options=[("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0),
                                                                    ("grpc.max_receive_message_length", -1)])
        self.stub = milvus_pb2_grpc.MilvusServiceStub(self.channel)
        self.metadata = [("authorization", token)] if token else []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, name, message, timeout=20.0):
        try:
            return getattr(self.stub, name)(message, timeout=timeout, metadata=self.metadata)
        except grpc.RpcError as error:
            return error.code()

    def bytes(self, name, message: bytes, timeout=20.0):
        """A request that need not be a message; the answer's bytes."""
        method = self.channel.unary_unary(SERVICE + name)
        try:
            return method(message, timeout=timeout, metadata=self.metadata)
        except grpc.RpcError as error:
            return error.code()

    def create(self, name=BOOKS, dimension=4):
        field = schema_pb2.FieldSchema
        schema = schema_pb2.CollectionSchema(name=name, fields=[
            field(name="id", is_primary_key=True, data_type=schema_pb2.Int64),
            field(name="vector", data_type=schema_pb2.FloatVector,
                  type_params=[common_pb2.KeyValuePair(key="dim", value=str(dimension))])])
        made = self.call("CreateCollection", milvus_pb2.CreateCollectionRequest(
            collection_name=name, schema=schema.SerializeToString(), shards_num=1, consistency_level=0))
        assert made.code == 0, made
        pair = common_pb2.KeyValuePair
        made = self.call("CreateIndex", milvus_pb2.CreateIndexRequest(
            collection_name=name, field_name="vector", index_name="by_vector",
            extra_params=[pair(key="index_type", value="FLAT"), pair(key="metric_type", value="L2")]))
        assert made.code == 0, made
        made = self.call("LoadCollection", milvus_pb2.LoadCollectionRequest(collection_name=name))
        assert made.code == 0, made

    @staticmethod
    def insertion(keys, name=BOOKS, dimension=4):
        return milvus_pb2.InsertRequest(collection_name=name, num_rows=len(keys), fields_data=[
            schema_pb2.FieldData(type=schema_pb2.Int64, field_name="id", scalars=schema_pb2.ScalarField(
                long_data=schema_pb2.LongArray(data=keys))),
            schema_pb2.FieldData(type=schema_pb2.FloatVector, field_name="vector", vectors=schema_pb2.VectorField(
                dim=dimension, float_vector=schema_pb2.FloatArray(data=[float(k) for k in keys for _ in range(dimension)])))])

    def insert(self, keys, name=BOOKS, dimension=4, timeout=20.0):
        return self.call("Upsert", upsertion(self.insertion(keys, name, dimension)), timeout)

    def query(self, expression="id >= 0", name=BOOKS, timeout=20.0):
        return self.call("Query", milvus_pb2.QueryRequest(
            collection_name=name, expr=expression, output_fields=["id"], consistency_level=0, use_default_consistency=False,
            guarantee_timestamp=0), timeout)

    def keys(self, expression="id >= 0", name=BOOKS):
        answer = self.query(expression, name)
        assert not isinstance(answer, grpc.StatusCode), answer
        assert answer.status.code == 0, answer.status
        return sorted(key for column in answer.fields_data for key in column.scalars.long_data.data)

    def list(self):
        return self.call("ShowCollections", milvus_pb2.ShowCollectionsRequest())


def upsertion(message):
    return milvus_pb2.UpsertRequest(collection_name=message.collection_name, num_rows=message.num_rows,
                                    fields_data=message.fields_data)


def padded(message, size: int) -> bytes:
    """A message without a base, in `size` bytes: its base (field 1) has a field that nobody knows, which readers skip."""
    def field(tag: bytes, body: bytes) -> bytes:
        assert 1 << 21 <= len(body) < 1 << 28, "its length takes four bytes"
        return tag + bytes(len(body) >> shift & 0x7f | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21)) + body
    body = message.SerializeToString()
    return field(b"\x0a", field(b"\xc2\x3e", bytes(size - len(body) - 11))) + body


def post_frames(port: int, name: str, body: bytes, timeout: float = 30.0) -> str:
    """A body that no gRPC library would send; all that came back, as nghttp shows it."""
    with tempfile.NamedTemporaryFile(prefix="vmproxy-frame-") as file:
        file.write(body)
        file.flush()
        result = subprocess.run(
            ["nghttp", "-v", "-n", "-d", file.name, "-H", "content-type: application/grpc", "-H", "te: trailers",
             "-H", ":method: POST", f"http://127.0.0.1:{port}{SERVICE}{name}"],
            capture_output=True, text=True, timeout=timeout, check=False, errors="replace")
        return result.stdout + result.stderr
